"""A process that outlived its lease is ended before its device is handed on; no other is."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_ai_provider.core.errors import StoreError
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.core.gpu.lease import LeaseRecord, Process
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.services import keeper_ending as endings
from airflow_ai_provider.services.keeper_kept import GRACE
from airflow_ai_provider.store.gpu_keeper import KeeperStore
from airflow_ai_provider.store.ledger import Ledger
from tests.services.keeper_scene import HOLDER, STRANGER, Scene

DEVICE = "fake:0"
NEXT = Process(pid=30, start=9, uid=0)
BELOW = Process(pid=31, start=10, uid=0)


@pytest.fixture
def scene() -> Scene:
    return Scene(devices=2)


def leave_behind(scene: Scene, *, holder: str = "old", **wants: int) -> LeaseRecord:
    """Release a lease on the first device whose program the keeper never heard of."""
    old = scene.lease(holder, told=False, **wants)
    assert DEVICE in old.devices
    scene.gpu.release(old.id, old.fence)
    return old


def next_lease(scene: Scene) -> LeaseRecord:
    scene.processes.start(NEXT)
    lease = scene.lease("new", process=NEXT)
    assert lease.devices == (DEVICE,)
    scene.run(1)
    return lease


def end(scene: Scene, lease: LeaseRecord, seconds: float = 5) -> None:
    scene.die(lease, NEXT)
    scene.run(seconds)


def test_what_outlived_its_lease_is_ended_and_recorded(scene: Scene) -> None:
    old = leave_behind(scene)
    lease = next_lease(scene)
    scene.processes.start(STRANGER, mark=old.mark)
    scene.drivers.on[DEVICE] = {STRANGER.pid}
    scene.die(lease, NEXT)
    scene.run(GRACE + 1)
    assert scene.processes.signals == [(99, "SIGTERM")]
    assert scene.states != []  # the driver still lists it
    scene.drivers.on[DEVICE] = set()
    scene.run(1)
    assert scene.states == []
    (record,) = Ledger(scene.gpu.store).search(kind=GateKind.DEVICE)
    assert (record.verdict, record.criteria[0]["name"]) == ("warn", "outlived")
    assert f"99 (program-99) on {DEVICE} outlived its lease {old.mark}" in str(record.criteria)


def test_it_is_killed_when_it_does_not_hear(scene: Scene) -> None:
    old = leave_behind(scene)
    lease = next_lease(scene)
    scene.processes.start(STRANGER, mark=old.mark)
    scene.processes.stubborn.add(STRANGER)
    scene.drivers.on[DEVICE] = {STRANGER.pid}
    end(scene, lease, endings.KILL_AFTER + 3)
    assert scene.processes.signals == [(99, "SIGTERM"), (99, "SIGKILL")]
    scene.drivers.on[DEVICE] = set()
    scene.run(1)
    assert scene.states == []


def test_the_mark_of_a_lease_that_the_store_does_not_know_is_a_strangers(scene: Scene) -> None:
    leave_behind(scene)
    lease = next_lease(scene)
    scene.processes.start(STRANGER, mark="f" * 32 + ":1")
    scene.drivers.on[DEVICE] = {STRANGER.pid}
    end(scene, lease)
    assert scene.states == [LeaseState.QUARANTINED]
    assert scene.processes.signals == []


def test_the_mark_of_a_lease_of_another_device_is_a_strangers(scene: Scene) -> None:
    first = scene.lease("first", told=False)
    elsewhere = scene.lease("elsewhere", told=False)
    assert elsewhere.devices == ("fake:1",)
    for record in (first, elsewhere):
        scene.gpu.release(record.id, record.fence)
    lease = next_lease(scene)
    scene.processes.start(STRANGER, mark=elsewhere.mark)
    scene.drivers.on[DEVICE] = {STRANGER.pid}
    end(scene, lease)
    assert scene.states == [LeaseState.QUARANTINED]
    assert scene.processes.signals == []


def test_the_mark_of_a_live_lease_of_another_device_is_a_strangers(scene: Scene) -> None:
    lease = next_lease(scene)
    live = scene.lease("live")
    assert live.devices == ("fake:1",)
    scene.processes.start(STRANGER, mark=live.mark)
    scene.drivers.on[DEVICE] = {STRANGER.pid}
    end(scene, lease)
    assert scene.states == [LeaseState.QUARANTINED, LeaseState.ACTIVE]
    assert scene.processes.signals == []


@pytest.mark.parametrize("holds", ["itself", "its child", "its parent"])
def test_who_serves_a_live_lease_is_not_ended_for_an_old_mark(scene: Scene, holds: str) -> None:
    old = leave_behind(scene)
    lease = next_lease(scene)
    scene.processes.start(STRANGER, mark=old.mark)
    holder = {"itself": STRANGER, "its child": BELOW, "its parent": HOLDER}[holds]
    if holds == "its child":
        scene.processes.start(BELOW, parent=STRANGER)
    elif holds == "its parent":
        scene.processes.start(STRANGER, parent=HOLDER, mark=old.mark)
    scene.lease("live", process=holder)
    scene.drivers.on[DEVICE] = {STRANGER.pid}
    end(scene, lease)
    assert scene.states == [LeaseState.QUARANTINED, LeaseState.ACTIVE]
    assert scene.processes.signals == []


def test_a_stranger_beside_it_is_left_alone(scene: Scene) -> None:
    old = leave_behind(scene)
    lease = next_lease(scene)
    scene.processes.start(STRANGER, mark=old.mark)
    scene.processes.start(BELOW)
    scene.drivers.on[DEVICE] = {STRANGER.pid, BELOW.pid}
    scene.die(lease, NEXT)
    scene.run(2)
    assert scene.processes.signals == [(99, "SIGTERM")]
    scene.drivers.on[DEVICE] = {BELOW.pid}
    scene.run(3)
    assert scene.states == [LeaseState.QUARANTINED]
    assert scene.reasons == [f"unknown process on {DEVICE}: 31 (program-31)"]
    assert BELOW in scene.processes.alive


def test_nobody_is_ended_before_the_store_has_answered(scene: Scene) -> None:
    old = leave_behind(scene)
    lease = next_lease(scene)
    scene.processes.start(STRANGER, mark=old.mark)
    scene.drivers.on[DEVICE] = {STRANGER.pid}
    scene.go_away()
    end(scene, lease, 20)
    assert scene.processes.signals == []
    scene.come_back()
    scene.run(3)
    assert scene.processes.signals == [(99, "SIGTERM")]


def test_what_a_store_refuses_to_tell_makes_a_stranger(scene: Scene) -> None:
    old = leave_behind(scene)
    lease = next_lease(scene)
    scene.processes.start(STRANGER, mark=old.mark)
    scene.drivers.on[DEVICE] = {STRANGER.pid}
    scene.desk.target = Refusing(scene.gpu)
    end(scene, lease)
    assert scene.states == [LeaseState.QUARANTINED]
    assert scene.processes.signals == []


class Refusing(KeeperStore):
    """A store that answers all but one question."""

    def outlived(self, *_: Any) -> frozenset[tuple[str, int, str]]:
        raise StoreError("The store refused.")
