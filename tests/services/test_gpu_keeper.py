from __future__ import annotations

import pytest

from airflow_ai_provider.core.errors import StoreNotFoundError
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.core.gpu.lease import Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.services import keeper as keepers
from airflow_ai_provider.services import keeper_ending as endings
from airflow_ai_provider.services.keeper_kept import GRACE
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.testing import fake_devices
from tests.services.keeper_scene import CHILD, HOLDER, STRANGER, TTL, Scene

DEVICE = "fake:0"
NEIGHBOUR = Process(pid=20, start=4, uid=0)


@pytest.fixture
def scene() -> Scene:
    return Scene()


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


# --- who is on the device -----------------------------------------------------------------------


def test_a_stranger_on_the_device_means_quarantine_and_never_a_kill(scene: Scene) -> None:
    lease = scene.lease()
    scene.run(1)
    scene.processes.start(STRANGER)
    scene.drivers.on[DEVICE] = {STRANGER.pid}
    scene.die(lease)
    scene.run(60)
    assert scene.states == [LeaseState.QUARANTINED]
    assert scene.reasons == ["unknown process on fake:0: 99 (program-99)"]
    (record,) = Ledger(scene.gpu.store).search(kind=GateKind.DEVICE)
    assert (record.subject, record.verdict) == ("device://h/fake:0", "fail")
    assert "99 (program-99)" in record.criteria[0]["sentence"]
    assert scene.processes.signals == []
    scene.drivers.on[DEVICE] = set()
    scene.run(endings.LOOK_ASIDE_EVERY)
    assert scene.states == []
    assert scene.processes.signals == []


def test_a_listed_process_of_the_lease_is_ended(scene: Scene) -> None:
    lease = scene.lease()
    scene.run(1)
    scene.processes.start(CHILD, mark=lease.mark)
    scene.drivers.on[DEVICE] = {CHILD.pid}
    scene.die(lease)
    scene.run(GRACE + 1)
    assert scene.processes.signals == [(11, "SIGTERM")]
    assert scene.states == [LeaseState.SUSPECT]
    scene.drivers.on[DEVICE] = set()
    scene.run(1)
    assert scene.states == []


def test_a_list_that_cannot_be_believed_means_quarantine_until_it_can(scene: Scene) -> None:
    lease = scene.lease()
    scene.run(1)
    scene.drivers.unsure[DEVICE] = "pids of another namespace"
    scene.die(lease)
    scene.run(30)
    assert scene.states == [LeaseState.QUARANTINED]
    assert "pids of another namespace" in scene.reasons[0]
    del scene.drivers.unsure[DEVICE]
    scene.run(endings.LOOK_ASIDE_EVERY)
    assert scene.states == []


def test_the_context_of_a_holder_that_released_is_waited_for(scene: Scene) -> None:
    lease = scene.lease()
    scene.run(1)
    scene.drivers.on[DEVICE] = {HOLDER.pid}
    scene.gpu.leave(lease.id, lease.fence, reason="its context is open", left=())
    scene.keeper.left(lease.id, lease.fence, set(), scene.now, spared=HOLDER)
    scene.run(300)
    assert scene.states == [LeaseState.SUSPECT]
    assert scene.processes.signals == []
    scene.drivers.on[DEVICE] = set()
    scene.run(1)
    assert scene.states == []


def test_a_process_that_only_the_driver_sees_is_waited_for_and_then_set_aside(
    scene: Scene,
) -> None:
    lease = scene.lease()
    scene.run(1)
    scene.drivers.on[DEVICE] = {4242}
    scene.die(lease)
    scene.run(5)
    assert scene.states == [LeaseState.ACTIVE]
    scene.run(endings.GIVE_UP_AFTER)
    assert scene.states == [LeaseState.QUARANTINED]
    scene.drivers.on[DEVICE] = set()
    scene.run(endings.LOOK_ASIDE_EVERY)
    assert scene.states == []


@pytest.mark.parametrize("told", [True, False])
def test_who_shares_the_device_is_no_stranger(told: bool) -> None:
    scene = Scene(memory_mib=1000)
    lease = scene.lease(gpu_memory="400MiB")
    scene.run(1)
    scene.processes.start(NEIGHBOUR)
    scene.lease("b", process=NEIGHBOUR, told=told, gpu_memory="400MiB")
    grandchild = Process(pid=21, start=5, uid=0)
    scene.processes.start(grandchild, parent=NEIGHBOUR)
    scene.drivers.on[DEVICE] = {NEIGHBOUR.pid, grandchild.pid}
    scene.die(lease)
    scene.run(2)
    assert scene.states == [LeaseState.ACTIVE]
    assert scene.processes.signals == []


def test_who_holds_another_device_is_a_stranger_on_this_one() -> None:
    scene = Scene(devices=2)
    lease = scene.lease()
    scene.processes.start(NEIGHBOUR)
    scene.lease("b", process=NEIGHBOUR)
    scene.run(1)
    scene.drivers.on[DEVICE] = {NEIGHBOUR.pid}
    scene.die(lease)
    scene.run(5)
    assert scene.states == [LeaseState.QUARANTINED, LeaseState.ACTIVE]
    assert scene.processes.signals == []


def test_a_new_keeper_leaves_a_quarantined_lease_until_its_stranger_is_gone(scene: Scene) -> None:
    lease = scene.lease()
    scene.run(1)
    scene.processes.start(STRANGER)
    scene.drivers.on[DEVICE] = {STRANGER.pid}
    scene.die(lease)
    scene.run(5)
    scene.keeper = scene.new_keeper()
    scene.run(30)
    assert scene.states == [LeaseState.QUARANTINED]
    assert len(Ledger(scene.gpu.store).search(kind=GateKind.DEVICE)) == 1
    scene.drivers.on[DEVICE] = set()
    scene.run(endings.LOOK_ASIDE_EVERY)
    assert scene.states == []


# --- idle leases --------------------------------------------------------------------------------


def test_an_idle_lease_is_warned_and_then_ended(scene: Scene) -> None:
    scene.drivers.busy[DEVICE] = 0.0
    scene.processes.cpu[HOLDER] = 0.0
    scene.lease(idle_limit=300)
    scene.run(235)
    assert scene.reasons == [""]
    scene.run(20)
    assert scene.reasons[0].startswith("idle; it ends in")
    assert scene.processes.signals == []
    scene.run(60)
    assert scene.processes.signals == [(10, "SIGTERM")]
    assert scene.states == []
    (record,) = Ledger(scene.gpu.store).search(kind=GateKind.DEVICE)
    assert (record.verdict, record.criteria[0]["name"]) == ("warn", "idle")


def test_use_takes_the_warning_back(scene: Scene) -> None:
    scene.drivers.busy[DEVICE] = 0.0
    scene.lease(idle_limit=100)
    scene.run(60)
    assert scene.reasons[0].startswith("idle")
    scene.drivers.busy[DEVICE] = 40.0
    scene.run(30)
    assert scene.reasons == [""]
    scene.run(300)
    assert scene.states == [LeaseState.ACTIVE]


def test_without_a_driver_the_holders_computing_is_use(scene: Scene) -> None:
    scene.lease(idle_limit=100)
    for _ in range(40):
        scene.run(10)
        scene.processes.cpu[HOLDER] = scene.processes.cpu.get(HOLDER, 0.0) + 1.0
    assert scene.states == [LeaseState.ACTIVE]
    scene.run(115)
    assert scene.states == []


def test_a_stubborn_idle_holder_is_killed(scene: Scene) -> None:
    scene.processes.stubborn.add(HOLDER)
    scene.lease(idle_limit=10)
    scene.run(10 + 2 + endings.KILL_AFTER + 1)
    assert scene.processes.signals == [(10, "SIGTERM"), (10, "SIGKILL")]
    assert scene.states == []


# --- the devices of the host --------------------------------------------------------------------


def test_a_device_that_was_lost_is_registered_within_ten_seconds(scene: Scene) -> None:
    scene.lease()
    scene.drivers.reported = scene.devices
    scene.run(15)
    asked = scene.desk.asked
    scene.drivers.reported = fake_devices(0, host="h")
    scene.run(keepers.DEVICES_EVERY + 1)
    assert scene.desk.asked > asked
    other = Process(pid=77, start=7, uid=0)
    scene.processes.start(other)
    asked_for = scene.gpu.ask(scene_ticket("late"), process=other, devices=None)
    assert asked_for.lease is None
    assert "No device" in asked_for.reason


def scene_ticket(holder: str) -> Ticket:
    return Ticket(holder=holder, request=GpuRequest.of(), host="h")


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
