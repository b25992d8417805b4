"""A keeper over a store in memory, with a process table, drivers and a clock that a test moves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from airflow_ai_provider.core.errors import StoreUnavailableError
from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.gpu.lease import Host, LeaseRecord, Process, Ticket
from airflow_ai_provider.core.gpu.probe import Occupants
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.services.keeper import Keeper
from airflow_ai_provider.services.keeper_drivers import Report
from airflow_ai_provider.services.keeper_ports import Desk, NoNotes
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.gpu_keeper import KeeperStore
from airflow_ai_provider.testing import FakeClock, fake_devices, memory_store

TTL = 60.0
HOLDER = Process(pid=10, start=1, uid=0)
CHILD = Process(pid=11, start=2, uid=0)
STRANGER = Process(pid=99, start=3, uid=7)


class FakeProcesses:
    """A process table; ``stubborn`` ones ignore SIGTERM, ``foreign`` ones may not be signalled."""

    def __init__(self, *alive: Process) -> None:
        self.alive = {*alive}
        self.parents: dict[Process, Process] = {}
        self.marked: dict[Process, str] = {}
        self.stubborn: set[Process] = set()
        self.foreign: set[Process] = set()
        self.signals: list[tuple[int, str]] = []
        self.cpu: dict[Process, float] = {}

    def start(self, process: Process, *, parent: Process | None = None, mark: str = "") -> None:
        self.alive.add(process)
        if parent is not None:
            self.parents[process] = parent
        if mark:
            self.marked[process] = mark

    def end(self, process: Process) -> None:
        """End it; what it started belongs to nobody from now on."""
        self.alive.discard(process)
        for child in [c for c, parent in self.parents.items() if parent == process]:
            del self.parents[child]

    def identify(self, pid: int) -> Process | None:
        return next((p for p in self.alive if p.pid == pid), None)

    def is_alive(self, process: Process) -> bool:
        return process in self.alive

    def started_by(self, roots: Iterable[Process]) -> set[Process]:
        roots = {*roots} & self.alive
        return {p for p in self.alive if roots & {*self.lineage(p)} and p not in roots}

    def left_by(
        self, *, mark: str, holder: Process | None, known: Iterable[Process], spared: Process | None
    ) -> set[Process]:
        found = {p for p in self.alive if self.marked.get(p) == mark}
        found |= ({*known} | ({holder} if holder else set())) & self.alive
        return (found | self.started_by(found)) - {spared}

    def lineage(self, process: Process) -> Iterator[Process]:
        at: Process | None = process
        while at is not None:
            yield at
            at = self.parents.get(at)

    def mark_of(self, process: Process) -> str | None:
        return self.marked.get(process)

    def command(self, pid: int) -> str:
        return f"program-{pid}"

    def cpu_seconds(self, process: Process) -> float:
        return self.cpu.get(process, 0.0)

    def send_signal(self, process: Process, number: signal.Signals) -> bool:
        self.signals.append((process.pid, number.name))
        if process in self.foreign:
            return False
        if number is signal.SIGKILL or process not in self.stubborn:
            self.end(process)
        return True


class FakeDrivers:
    """Drivers that list who a test puts on a device."""

    def __init__(self) -> None:
        self.on: dict[str, set[int]] = {}
        self.unsure: dict[str, str] = {}
        self.busy: dict[str, float] = {}
        self.reported: tuple[Device, ...] | None = None

    def report(self) -> Report:
        return Report(devices=self.reported)

    def occupants(self, uuid: str) -> Occupants:
        return Occupants(
            pids=frozenset(self.on.get(uuid, ())),
            is_certain=uuid not in self.unsure,
            why_uncertain=self.unsure.get(uuid, ""),
        )

    def busy_percent(self, uuid: str) -> float | None:
        return self.busy.get(uuid)


class FakeDesk:
    """A desk that does at once what it is asked, unless what it stands for is away."""

    def __init__(self, target: Any) -> None:
        self.target = target
        self.error: Exception | None = None
        self.hangs = False
        self.asked = 0

    def submit(self, action: Callable[[Any], Any], done: Callable[[Any], Any]) -> None:
        self.asked += 1
        if self.hangs:
            return
        try:
            if self.error is not None:
                raise self.error
            result = action(self.target)
        except Exception as error:  # noqa: BLE001 - told to who asked
            result = error
        done(result)


class Memory(NoNotes):
    """Notes that outlive a keeper."""

    def __init__(self) -> None:
        self.notes: dict[str, dict[str, Any]] = {}

    def load(self) -> dict[str, dict[str, Any]]:
        return self.notes

    def save(self, notes: dict[str, dict[str, Any]]) -> None:
        self.notes = notes


class Scene:
    """One host: its keeper, its store, its processes and its drivers."""

    def __init__(self, *, devices: int = 1, memory_mib: int | None = None) -> None:
        self.now = 100.0
        self.clock = FakeClock()
        self.processes = FakeProcesses(HOLDER)
        self.drivers = FakeDrivers()
        self.devices = fake_devices(devices, host="h", memory_mib=memory_mib)
        self.gpu = GpuStore(memory_store(), Host(name="h", boot_id="b"), ttl=TTL, clock=self.clock)
        self.store = KeeperStore(self.gpu)
        self.desk = FakeDesk(self.store)
        self.notes = Memory()
        self.keeper = self.new_keeper()

    def new_keeper(self) -> Keeper:
        drivers: Desk[Any] = FakeDesk(self.drivers)
        return Keeper(
            self.desk, self.desk, drivers, self.processes, ttl=TTL, uid=0, notes=self.notes
        )

    def lease(
        self, holder: str = "a", *, process: Process = HOLDER, told: bool = True, **wants: Any
    ) -> LeaseRecord:
        ticket = Ticket(holder=holder, request=GpuRequest.of(**wants), host="h")
        asked = self.gpu.ask(ticket, process=process, devices=self.devices)
        assert asked.lease is not None
        if told:
            self.hold(asked.lease, process)
        return asked.lease

    def hold(self, lease: LeaseRecord, process: Process = HOLDER) -> None:
        self.keeper.hold(lease.id, lease.fence, process, self.now, asked_at=self.now)

    def go_away(self) -> None:
        self.desk.error = StoreUnavailableError("away")

    def come_back(self) -> None:
        self.desk.error = None

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            pause = min(self.keeper.step(self.now), end - self.now)
            self.pass_time(pause)
        self.keeper.step(self.now)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.clock.advance(seconds)

    def die(self, lease: LeaseRecord, process: Process = HOLDER) -> None:
        self.processes.end(process)
        self.keeper.holder_died(lease.id, self.now)

    @property
    def states(self) -> list[LeaseState]:
        return [record.state for record in self.gpu.leases()]

    @property
    def reasons(self) -> list[str]:
        return [record.reason for record in self.gpu.leases()]
