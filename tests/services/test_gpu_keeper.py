"""A keeper on a fake host: who is renewed, adopted, ended and released."""

from __future__ import annotations

from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.services import keeper as keepers
from airflow_ai_provider.services import keeper_ending as endings
from airflow_ai_provider.services.keeper_kept import GRACE
from tests.services.keeper_scene import CHILD, HOLDER, TTL, Scene


def with_child(scene: Scene) -> None:
    scene.processes.start(CHILD, parent=HOLDER)
    scene.run(1)


def test_a_living_holder_is_renewed_for_ever(scene: Scene) -> None:
    scene.lease()
    scene.run(300)
    assert scene.states == [LeaseState.ACTIVE]
    assert scene.processes.signals == []


def test_a_dead_holder_that_left_nothing_is_released_at_the_second_look(scene: Scene) -> None:
    lease = scene.lease()
    scene.run(1)
    scene.die(lease)
    scene.keeper.step(scene.now)
    assert scene.states != []  # a child between fork and exec would not show yet
    scene.run(0.3)
    assert scene.states == []
    assert scene.keeper.kept == {}


def test_what_a_dead_holder_left_is_ended_before_release(scene: Scene) -> None:
    lease = scene.lease()
    with_child(scene)
    scene.processes.stubborn.add(CHILD)
    scene.die(lease)
    scene.run(GRACE)
    assert scene.states == [LeaseState.SUSPECT]
    scene.run(endings.KILL_AFTER - 0.5)
    assert scene.states == [LeaseState.SUSPECT]
    assert scene.processes.signals == [(11, "SIGTERM")]
    scene.run(2)
    assert scene.processes.signals == [(11, "SIGTERM"), (11, "SIGKILL")]
    assert scene.states == []


def test_what_cannot_be_ended_is_quarantined_until_it_is_gone(scene: Scene) -> None:
    lease = scene.lease()
    with_child(scene)
    scene.processes.foreign.add(CHILD)
    scene.die(lease)
    scene.run(GRACE + endings.KILL_AFTER + endings.GIVE_UP_AFTER + 2)
    assert scene.states == [LeaseState.QUARANTINED]
    scene.run(60)
    assert scene.states == [LeaseState.QUARANTINED]
    scene.processes.end(CHILD)
    scene.run(endings.LOOK_ASIDE_EVERY)
    assert scene.states == []


def test_a_new_keeper_adopts_what_the_store_says(scene: Scene) -> None:
    scene.lease(told=False)
    scene.run(300)
    assert scene.states == [LeaseState.ACTIVE]


def test_a_new_keeper_finds_that_a_holder_died_before_it_came(scene: Scene) -> None:
    scene.lease(told=False)
    scene.processes.alive.clear()
    scene.run(2)
    assert scene.states == []


def test_a_new_keeper_knows_what_the_one_before_saw_forked(scene: Scene) -> None:
    lease = scene.lease()
    with_child(scene)
    scene.run(1)
    scene.keeper = scene.new_keeper()
    scene.processes.end(HOLDER)  # the child is nobody's now, and carries no mark
    scene.run(1.2)
    assert scene.states == [LeaseState.SUSPECT]
    scene.run(2)
    assert scene.processes.signals == [(11, "SIGTERM")]
    assert scene.states == []
    assert lease.id not in scene.keeper.kept


def test_a_late_keeper_makes_an_expired_lease_of_a_living_holder_active(scene: Scene) -> None:
    scene.lease(told=False)
    scene.pass_time(100)
    scene.gpu.tick()
    assert scene.states == [LeaseState.SUSPECT]
    scene.run(2)
    assert scene.states == [LeaseState.ACTIVE]


def test_a_revoked_holder_is_ended(scene: Scene) -> None:
    lease = scene.lease()
    scene.gpu.doubt(lease.id, lease.fence, reason="a newer try took its place")
    scene.keeper.look_soon()
    scene.run(2)
    assert scene.processes.signals == [(10, "SIGTERM")]
    assert scene.states == []


def test_a_holder_whose_lease_was_taken_is_killed_at_once(scene: Scene) -> None:
    lease = scene.lease()
    scene.run(1)
    scene.gpu.doubt(lease.id, lease.fence, reason="an operator took it")
    scene.gpu.release(lease.id, lease.fence, reason="an operator took it")
    scene.run(TTL / keepers.RENEWALS + 1)
    assert scene.processes.signals == [(10, "SIGKILL")]
    assert scene.keeper.kept == {}


def test_a_holder_that_released_without_a_word_is_spared(scene: Scene) -> None:
    lease = scene.lease()
    scene.run(1)
    scene.gpu.release(lease.id, lease.fence)
    scene.run(TTL)
    assert scene.processes.signals == []
    assert scene.keeper.kept == {}


def test_a_holder_that_released_and_lives_is_spared(scene: Scene) -> None:
    lease = scene.lease()
    with_child(scene)
    scene.gpu.leave(lease.id, lease.fence, reason="11 still ran", left={CHILD})
    scene.keeper.left(lease.id, lease.fence, {CHILD}, scene.now, spared=HOLDER)
    scene.run(keepers.GRACE_OF_LIVING - 1)
    assert scene.processes.signals == []
    assert scene.states == [LeaseState.SUSPECT]
    scene.run(3)
    assert scene.processes.signals == [(11, "SIGTERM")]
    assert scene.states == []
    assert HOLDER in scene.processes.alive


def test_a_keeper_that_was_not_told_ends_what_a_living_holder_left(scene: Scene) -> None:
    lease = scene.lease(told=False)
    scene.processes.start(CHILD, parent=HOLDER)
    scene.gpu.leave(lease.id, lease.fence, reason="11 still ran", left={CHILD})
    scene.keeper.look_soon()
    scene.run(1)
    assert scene.states == [LeaseState.SUSPECT]
    scene.run(keepers.GRACE_OF_LIVING + 1)
    assert scene.processes.signals == [(11, "SIGTERM")]
    assert scene.states == []
    assert HOLDER in scene.processes.alive


def test_a_holder_that_left_something_and_told_only_the_store_is_spared(scene: Scene) -> None:
    lease = scene.lease()
    with_child(scene)
    scene.gpu.leave(lease.id, lease.fence, reason="its context is still open", left=())
    scene.run(TTL)
    assert scene.states == []
    assert HOLDER in scene.processes.alive
    assert CHILD in scene.processes.alive  # started before the lease, for all that is known


def test_a_released_lease_is_forgotten(scene: Scene) -> None:
    lease = scene.lease()
    scene.gpu.release(lease.id, lease.fence)
    scene.keeper.drop(lease.id)
    assert scene.keeper.kept == {}


# --- the clock ----------------------------------------------------------------------------------
