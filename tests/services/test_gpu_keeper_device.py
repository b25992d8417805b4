"""A keeper and what the driver lists: strangers, neighbours, idleness, lost devices."""

from __future__ import annotations

import pytest

from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.core.gpu.lease import Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.services import keeper as keepers
from airflow_ai_provider.services import keeper_ending as endings
from airflow_ai_provider.services.keeper_kept import GRACE
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.testing import fake_devices
from tests.services.keeper_scene import CHILD, HOLDER, STRANGER, Scene

DEVICE = "fake:0"
NEIGHBOUR = Process(pid=20, start=4, uid=0)


def scene_ticket(holder: str) -> Ticket:
    return Ticket(holder=holder, request=GpuRequest.of(), host="h")


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
