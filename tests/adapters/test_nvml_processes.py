"""The real ``pynvml`` over a fake library: who computes, what happened, and forks."""

from __future__ import annotations

import os

import pytest

from tests.fake_nvml import (
    LOST,
    MISSING,
    NO_PERMISSION,
    NOT_SUPPORTED,
    UNKNOWN,
    FakeNvml,
    mig_node,
    uuid_of,
)
from tests.fake_nvml.worker import Start

pytestmark = pytest.mark.usefixtures("nvml_library")


@pytest.mark.parametrize("old", [False, True], ids=["new driver", "old driver"])
def test_processes_of_every_kind_are_listed(fake_nvml: FakeNvml, start: Start, old: bool) -> None:
    fake_nvml.old = old
    worker = start()
    nobody = {"pids": [], "is_certain": True, "why_uncertain": ""}
    assert worker.ask("occupants", uuid_of(0)) == nobody
    for kind in ("compute", "graphics", "mps"):
        with fake_nvml.change() as machine:
            machine.cards[0].processes = [(kind, pid) for pid in range(4000001, 4000021)]
        assert worker.ask("occupants", uuid_of(0))["pids"] == list(range(4000001, 4000021))
        assert worker.ask("occupants", uuid_of(1)) == nobody


def test_an_old_driver_tells_memory_in_its_way(fake_nvml: FakeNvml, start: Start) -> None:
    fake_nvml.old = True
    found = [(d["memory_mib"], d["reserved_mib"]) for d in start().ask("look")["devices"]]
    assert found == [(81559, 0)] * 2  # what is reserved it does not tell


def test_processes_of_an_instance_are_its_own(fake_nvml: FakeNvml, start: Start) -> None:
    fake_nvml.machine = mig_node()
    fake_nvml.machine.cards[1].instances[0].processes = [("compute", os.getpid())]
    worker = start()
    assert worker.ask("occupants", uuid_of(10, "MIG"))["pids"] == [os.getpid()]
    assert worker.ask("occupants", uuid_of(11, "MIG"))["pids"] == []
    assert worker.ask("occupants", uuid_of(1))["pids"] == [os.getpid()]


def test_a_list_that_is_not_told_is_not_empty(fake_nvml: FakeNvml, start: Start) -> None:
    worker = start()
    for function, code, certain in [
        ("nvmlDeviceGetGraphicsRunningProcesses_v3", NOT_SUPPORTED, True),
        ("nvmlDeviceGetMPSComputeRunningProcesses_v3", NOT_SUPPORTED, True),
        ("nvmlDeviceGetMPSComputeRunningProcesses_v3", NO_PERMISSION, False),
        ("nvmlDeviceGetComputeRunningProcesses_v3", NOT_SUPPORTED, False),
        ("nvmlDeviceGetComputeRunningProcesses_v3", LOST, False),
        ("nvmlDeviceGetHandleByUUID", LOST, False),
        ("*", UNKNOWN, False),
    ]:
        with fake_nvml.change() as machine:
            machine.errors[:] = [(function, code, uuid_of(0))]
        answer = worker.ask("occupants", uuid_of(0))
        assert (answer["is_certain"], answer["pids"]) == (certain, []), function
        assert bool(answer["why_uncertain"]) is not certain
    with fake_nvml.change() as machine:
        machine.errors.clear()
    assert worker.ask("occupants", uuid_of(7))["is_certain"] is False
    assert worker.ask("occupants", uuid_of(0))["is_certain"] is True


def test_in_another_pid_namespace_only_an_idle_device_is_certain(
    fake_nvml: FakeNvml, start: Start
) -> None:
    worker = start(our_pids=False)
    card = fake_nvml.machine.cards[0]
    for used, processes, certain in [
        (0, [], True),
        (63, [], True),
        (64, [], False),
        (0, [("compute", 4000001)], False),
    ]:
        with fake_nvml.change():
            card.used_mib, card.processes = used, processes
        answer = worker.ask("occupants", uuid_of(0))
        assert (answer["is_certain"], answer["pids"]) == (certain, [])
    with fake_nvml.change():
        card.processes, card.memory_mib = [], None
    assert worker.ask("occupants", uuid_of(0))["is_certain"] is False


def test_an_old_driver_in_another_pid_namespace_is_never_certain(
    fake_nvml: FakeNvml, start: Start
) -> None:
    fake_nvml.old = True
    answer = start(our_pids=False).ask("occupants", uuid_of(0))
    assert (answer["is_certain"], answer["pids"]) == (False, [])


def test_a_static_device_has_nobody_that_a_driver_would_know(start: Start) -> None:
    worker = start(static="cpu:0")
    assert worker.ask("occupants", "cpu:0")["is_certain"] is True
    assert worker.ask("busy", "cpu:0") is None


def test_how_busy_a_card_is(fake_nvml: FakeNvml, start: Start) -> None:
    fake_nvml.machine = mig_node()
    fake_nvml.machine.cards[0].busy = 37
    worker = start()
    assert worker.ask("busy", uuid_of(0)) == 37
    assert worker.ask("busy", uuid_of(10, "MIG")) is None
    assert worker.ask("busy", uuid_of(7)) is None


def test_an_xid_that_counts_is_heard_once(fake_nvml: FakeNvml, start: Start) -> None:
    fake_nvml.machine = mig_node()
    fake_nvml.machine.xid(uuid_of(0), 48)  # before anybody listened
    worker = start()
    assert worker.ask("faults") == []
    with fake_nvml.change() as machine:
        for code in (13, 31, 43, 45, 68, 109):
            machine.xid(uuid_of(0), code)
    assert worker.ask("faults") == []
    with fake_nvml.change() as machine:
        machine.xid(uuid_of(0), 79)
        machine.xid(uuid_of(1), 94, 7, 0)
        machine.xid(uuid_of(1), 95, 99, 0)  # an instance that is no more: the card it was of
    assert worker.ask("faults") == [
        {"uuid": uuid_of(0), "reason": "Xid 79: the card has fallen off the bus"},
        {"uuid": uuid_of(11, "MIG"), "reason": "Xid 94: a contained ECC error"},
        {"uuid": uuid_of(1), "reason": "Xid 95: an uncontained ECC error"},
    ]
    assert worker.ask("faults") == []


def test_an_xid_of_a_card_without_a_name_is_one_of_all(fake_nvml: FakeNvml, start: Start) -> None:
    worker = start()
    worker.ask("faults")
    with fake_nvml.change() as machine:
        machine.xid(uuid_of(0), 79)
        machine.fail("nvmlDeviceGetUUID", LOST, uuid_of(0))
    assert [fault["uuid"] for fault in worker.ask("faults")] == [None]


@pytest.mark.parametrize("function", ["nvmlEventSetCreate", "nvmlDeviceRegisterEvents"])
def test_where_no_events_are_told_there_are_none(
    fake_nvml: FakeNvml, start: Start, function: str
) -> None:
    fake_nvml.machine.fail(function, MISSING)
    worker = start()
    assert worker.ask("faults") == []
    with fake_nvml.change() as machine:
        machine.xid(uuid_of(0), 79)
    assert worker.ask("faults") == []


def test_listening_begins_anew_after_trouble(fake_nvml: FakeNvml, start: Start) -> None:
    worker = start()
    worker.ask("faults")
    with fake_nvml.change() as machine:
        machine.fail("*", UNKNOWN)
    assert worker.ask("faults") == []
    with fake_nvml.change() as machine:
        machine.errors.clear()
    assert worker.ask("faults") == []
    with fake_nvml.change() as machine:
        machine.xid(uuid_of(0), 79)
    assert len(worker.ask("faults")) == 1


def test_a_forked_child_initialises_for_itself(fake_nvml: FakeNvml, start: Start) -> None:
    worker = start()
    here = worker.ask("look")
    assert worker.ask("forked", "look") == here
    assert worker.ask("forked", "occupants", uuid_of(0))["is_certain"] is True
    assert worker.ask("forked", "faults") == []
    assert worker.ask("look") == here
    assert worker.close() == 0
    ours = [call for call in fake_nvml.calls() if call.endswith(f" {worker.process.pid}")]
    assert ours == [f"init {worker.process.pid}", f"shutdown {worker.process.pid}"]


def test_who_was_shut_down_by_another_starts_again(start: Start) -> None:
    worker = start()
    before = worker.ask("look")
    worker.ask("shut_down_beneath")
    assert worker.ask("look") == before
    worker.ask("shut_down_beneath")
    assert worker.ask("occupants", uuid_of(0))["is_certain"] is True


def test_the_drivers_state(fake_nvml: FakeNvml, start: Start) -> None:
    fake_nvml.machine = mig_node()
    fake_nvml.machine.cards[0].persistence = 0
    fake_nvml.machine.cards[1].persistence = None
    state = start(our_pids=False).ask("state")
    assert (state["version"], state["sees_our_pids"]) == ("550.54.15", False)
    facts = ("is_persistent", "is_partitioned", "instances")
    assert [[card[f] for f in facts] for card in state["cards"]] == [
        [False, False, 0],
        [None, True, 3],
    ]
