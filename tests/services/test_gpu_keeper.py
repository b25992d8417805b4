from __future__ import annotations

import signal
from collections.abc import Iterable

import pytest

from airflow_ai_provider.core.errors import StoreNotFoundError, StoreUnavailableError
from airflow_ai_provider.core.gpu.lease import Host, LeaseRecord, Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.services import keeper as keepers
from airflow_ai_provider.services.keeper import Keeper
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.testing import FakeClock, fake_devices, memory_store

HOLDER = Process(pid=10, start=1, uid=0)
CHILD = Process(pid=11, start=2, uid=0)


class FakeProcesses:
    """A process table; ``stubborn`` ones do not end, ``foreign`` ones may not be signalled."""

    def __init__(self) -> None:
        self.alive = {HOLDER}
        self.children: set[Process] = set()
        self.stubborn: set[Process] = set()
        self.foreign: set[Process] = set()
        self.signals: list[tuple[int, str]] = []

    def is_alive(self, process: Process) -> bool:
        return process in self.alive

    def started_by(self, root: Process) -> set[Process]:
        return self.children & self.alive if root in self.alive else set()

    def left_by(
        self, *, mark: str, holder: Process | None, known: Iterable[Process]
    ) -> set[Process]:
        return ({*known} | ({holder} if holder else set())) & self.alive

    def send_signal(self, process: Process, number: signal.Signals) -> bool:
        self.signals.append((process.pid, number.name))
        if process in self.foreign:
            return False
        if number is signal.SIGKILL or process not in self.stubborn:
            self.alive.discard(process)
        return True


class Scene:
    """A keeper over a store in memory and a process table, with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.clock = FakeClock()
        self.processes = FakeProcesses()
        self.gpu = GpuStore(memory_store(), Host(name="h", boot_id="b"), ttl=60, clock=self.clock)
        self.keeper = Keeper(lambda: self.gpu, self.processes, ttl=60, uid=0)

    def lease(self, holder: str = "a", *, told: bool = True) -> LeaseRecord:
        ticket = Ticket(holder=holder, request=GpuRequest.of(), host="h")
        asked = self.gpu.ask(ticket, process=HOLDER, devices=fake_devices(1, host="h"))
        assert asked.lease is not None
        if told:
            self.keeper.hold(asked.lease.id, asked.lease.fence, HOLDER)
        return asked.lease

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            pause = self.keeper.step(self.now)
            self.now += pause
            self.clock.advance(pause)

    def die(self, lease: LeaseRecord) -> None:
        self.processes.alive.discard(HOLDER)
        self.keeper.holder_died(lease.id, self.now)

    @property
    def states(self) -> list[LeaseState]:
        return [record.state for record in self.gpu.leases()]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_living_holder_is_renewed_for_ever(scene: Scene) -> None:
    scene.lease()
    scene.run(300)
    assert scene.states == [LeaseState.ACTIVE]
    assert scene.processes.signals == []


def test_a_dead_holder_that_left_nothing_is_released_at_once(scene: Scene) -> None:
    lease = scene.lease()
    scene.die(lease)
    scene.keeper.step(scene.now)
    assert scene.states == []
    assert scene.keeper.kept == {}


def test_what_a_dead_holder_left_is_ended_before_release(scene: Scene) -> None:
    lease = scene.lease()
    scene.processes.alive.add(CHILD)
    scene.processes.children.add(CHILD)
    scene.processes.stubborn.add(CHILD)
    scene.run(1)
    scene.die(lease)
    scene.run(keepers.GRACE)
    assert scene.states == [LeaseState.SUSPECT]
    scene.run(keepers.KILL_AFTER - 0.5)
    assert scene.states == [LeaseState.SUSPECT]
    assert scene.processes.signals == [(11, "SIGTERM")]
    scene.run(2)
    assert scene.processes.signals == [(11, "SIGTERM"), (11, "SIGKILL")]
    assert scene.states == []


def test_what_cannot_be_ended_is_quarantined_until_it_is_gone(scene: Scene) -> None:
    lease = scene.lease()
    scene.processes.alive.add(CHILD)
    scene.processes.children.add(CHILD)
    scene.processes.foreign.add(CHILD)
    scene.run(1)
    scene.die(lease)
    scene.run(keepers.GRACE + keepers.KILL_AFTER + keepers.GIVE_UP_AFTER + 2)
    assert scene.states == [LeaseState.QUARANTINED]
    scene.run(60)
    assert scene.states == [LeaseState.QUARANTINED]
    scene.processes.alive.discard(CHILD)
    scene.run(1)
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


def test_a_late_keeper_makes_an_expired_lease_of_a_living_holder_active(scene: Scene) -> None:
    scene.lease(told=False)
    scene.clock.advance(100)
    scene.gpu.tick()
    assert scene.states == [LeaseState.SUSPECT]
    scene.run(2)
    scene.run(16)
    assert scene.states == [LeaseState.ACTIVE]


def test_a_revoked_holder_is_ended(scene: Scene) -> None:
    lease = scene.lease()
    scene.gpu.doubt(lease.id, lease.fence, reason="a newer try took its place")
    scene.keeper.look_soon()
    scene.run(2)
    assert scene.processes.signals == [(10, "SIGTERM")]
    assert scene.states == []


def test_a_holder_that_released_and_lives_is_spared(scene: Scene) -> None:
    lease = scene.lease()
    scene.processes.alive.add(CHILD)
    scene.gpu.leave(lease.id, lease.fence, reason="11 still ran", left={CHILD})
    scene.keeper.left(lease.id, lease.fence, {CHILD}, scene.now)
    scene.run(keepers.GRACE_OF_LIVING - 1)
    assert scene.processes.signals == []
    assert scene.states == [LeaseState.SUSPECT]
    scene.run(3)
    assert scene.processes.signals == [(11, "SIGTERM")]
    assert scene.states == []
    assert HOLDER in scene.processes.alive


def test_a_keeper_that_was_not_told_ends_what_a_living_holder_left(scene: Scene) -> None:
    lease = scene.lease(told=False)
    scene.processes.alive.add(CHILD)
    scene.gpu.leave(lease.id, lease.fence, reason="11 still ran", left={CHILD})
    scene.keeper.look_soon()
    scene.run(1)
    assert scene.states == [LeaseState.SUSPECT]
    scene.run(keepers.GRACE_OF_LIVING + 1)
    assert scene.processes.signals == [(11, "SIGTERM")]
    assert scene.states == []


def test_a_released_lease_is_forgotten(scene: Scene) -> None:
    lease = scene.lease()
    scene.gpu.release(lease.id, lease.fence)
    scene.keeper.drop(lease.id)
    assert scene.keeper.kept == {}


def test_a_store_that_does_not_answer_is_asked_again() -> None:
    scene = Scene()
    lease = scene.lease()
    away = True

    def open_leases() -> GpuStore:
        if away:
            raise StoreUnavailableError("away")
        return scene.gpu

    scene.keeper = Keeper(open_leases, scene.processes, ttl=60, uid=0)
    scene.keeper.hold(lease.id, lease.fence, HOLDER)
    scene.run(20)
    scene.die(lease)
    scene.run(5)
    assert scene.states == [LeaseState.ACTIVE]
    away = False
    scene.run(20)
    assert scene.states == []


def test_a_store_that_is_gone_keeps_no_keeper() -> None:
    scene = Scene()
    lease = scene.lease()

    def open_leases() -> GpuStore:
        raise StoreNotFoundError("There is no store.")

    scene.keeper = Keeper(open_leases, scene.processes, ttl=60, uid=0)
    scene.keeper.hold(lease.id, lease.fence, HOLDER)
    scene.run(20)
    assert list(scene.keeper.kept) == [lease.id]
    scene.die(lease)
    scene.run(5)
    assert scene.keeper.kept == {}


def test_short_leases_never_open_the_store() -> None:
    scene = Scene()
    opened: list[Store] = []

    def open_leases() -> GpuStore:
        opened.append(scene.gpu.store)
        return scene.gpu

    scene.keeper = Keeper(open_leases, scene.processes, ttl=60, uid=0)
    lease = scene.lease()
    scene.keeper.step(scene.now)
    scene.gpu.release(lease.id, lease.fence)
    scene.keeper.drop(lease.id)
    scene.keeper.step(scene.now + 0.9)
    assert opened == []
