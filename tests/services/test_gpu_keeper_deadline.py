"""A keeper whose store is away: it goes on until the deadline of each lease, never longer."""

from __future__ import annotations

import pytest

from airflow_ai_provider.core.errors import StoreNotFoundError
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.services import keeper as keepers
from tests.services.keeper_scene import HOLDER, TTL, Scene


def test_a_store_that_is_away_for_half_the_time_to_live_ends_nobody(scene: Scene) -> None:
    scene.lease()
    scene.run(13.5)  # it was renewed a while ago, and would be soon
    scene.go_away()
    scene.run(30)
    scene.come_back()
    scene.run(60)
    assert scene.processes.signals == []
    assert scene.states == [LeaseState.ACTIVE]


@pytest.mark.parametrize("hangs", [False, True])
def test_a_holder_is_killed_at_its_deadline_and_never_earlier(scene: Scene, hangs: bool) -> None:
    scene.lease()
    scene.run(1)
    renewed = scene.now
    if hangs:
        scene.desk.hangs = True
    else:
        scene.go_away()
    scene.run(renewed + keepers.FENCE_AT * TTL - scene.now - 0.02)
    assert scene.processes.signals == []
    scene.run(0.05)
    assert scene.processes.signals == [(10, "SIGKILL")]


def test_what_the_clock_killed_is_released_when_the_store_is_back(scene: Scene) -> None:
    scene.lease()
    scene.run(1)
    scene.go_away()
    scene.run(200)
    assert scene.states == [LeaseState.ACTIVE]  # as the store has it
    scene.come_back()
    scene.run(3)
    assert scene.states == []


def test_a_keeper_that_was_stopped_decides_by_the_clock_first(scene: Scene) -> None:
    scene.lease()
    scene.run(1)
    asked = scene.desk.asked
    scene.pass_time(50)
    scene.keeper.fence(scene.now)
    assert scene.processes.signals == [(10, "SIGKILL")]
    assert scene.desk.asked == asked + 1  # to be made suspect, after the kill


def test_a_keeper_that_was_stopped_for_less_goes_on(scene: Scene) -> None:
    scene.lease()
    scene.run(1)
    scene.pass_time(40)
    scene.run(60)
    assert scene.processes.signals == []
    assert scene.states == [LeaseState.ACTIVE]


def test_a_new_keeper_without_a_store_holds_to_the_deadline_of_the_one_before(
    scene: Scene,
) -> None:
    lease = scene.lease()
    scene.run(1)
    renewed = scene.now
    scene.run(1)
    scene.go_away()
    scene.run(20)
    scene.keeper = scene.new_keeper()
    scene.hold(lease)  # the holder tells again, as of now
    scene.run(renewed + keepers.FENCE_AT * TTL + TTL / keepers.RENEWALS - scene.now)
    assert scene.processes.signals == []
    scene.run(TTL)
    assert scene.processes.signals == [(10, "SIGKILL")]


def test_a_store_that_does_not_answer_is_asked_again(scene: Scene) -> None:
    lease = scene.lease()
    scene.go_away()
    scene.run(20)
    scene.die(lease)
    scene.run(5)
    assert scene.states == [LeaseState.ACTIVE]
    scene.come_back()
    scene.run(3)
    assert scene.states == []


def test_a_store_that_is_gone_keeps_no_keeper(scene: Scene) -> None:
    lease = scene.lease()
    scene.desk.error = StoreNotFoundError("There is no store.")
    scene.run(20)
    assert list(scene.keeper.kept) == [lease.id]
    scene.die(lease)
    scene.run(5)
    assert scene.keeper.kept == {}


def test_short_leases_never_ask_the_store(scene: Scene) -> None:
    lease = scene.lease()
    scene.keeper.step(scene.now)
    scene.gpu.release(lease.id, lease.fence)
    scene.keeper.drop(lease.id)
    scene.keeper.step(scene.now + 0.9)
    assert scene.desk.asked == 0


def test_a_keeper_leaves_when_the_store_is_gone_for_long_and_nobody_is_left(scene: Scene) -> None:
    lease = scene.lease()
    scene.run(1)
    scene.go_away()
    scene.run(keepers.LONG_AWAY + TTL)
    assert HOLDER not in scene.processes.alive  # fenced at its deadline
    assert scene.keeper.may_leave(scene.now)
    assert lease.id in scene.keeper.kept  # the store still shows it: the next keeper adopts it


def test_a_keeper_stays_while_somebody_it_cannot_end_is_left(scene: Scene) -> None:
    scene.lease()
    scene.processes.foreign.add(HOLDER)
    scene.run(1)
    scene.go_away()
    scene.run(keepers.LONG_AWAY + TTL)
    assert not scene.keeper.may_leave(scene.now)
    scene.processes.end(HOLDER)
    assert scene.keeper.may_leave(scene.now)
