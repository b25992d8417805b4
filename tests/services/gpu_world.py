"""Two hosts with keepers over one store, and the truth about who uses which device.

The truth is kept apart from the store: a process uses the devices that it was told it holds, from
when it was told until it ends or closes them; so do the processes that it forked.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

from airflow_ai_provider.core.errors import StoreUnavailableError
from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.gpu.lease import Host, LeaseRecord, Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.services.keeper import FENCE_AT, FIRST_ASK, Keeper
from airflow_ai_provider.store.engine import MEMORY_URL, Store
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.gpu_keeper import KeeperStore
from airflow_ai_provider.store.gpu_turns import Turns
from airflow_ai_provider.store.schema import metadata
from airflow_ai_provider.testing import FakeClock, fake_devices
from tests.services.keeper_scene import TTL, FakeDesk, FakeDrivers, FakeProcesses, Memory

AWAY = StoreUnavailableError("away")


@dataclass
class Use:
    """What a lease's processes use: the truth."""

    lease: LeaseRecord
    holder: Process
    by: set[Process] = field(default_factory=set)  # every process that has the devices open
    released: bool = False
    stopped: bool = False


class WatchedProcesses(FakeProcesses):
    """A process table that notes who was signalled and why that was right, or not."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine

    def send_signal(self, process: Process, number: signal.Signals) -> bool:
        self.machine.judge_signal(process)
        return super().send_signal(process, number)


class Machine:
    """One host."""

    def __init__(self, world: World, name: str, count: int) -> None:
        self.world = world
        self.name = name
        self.all_devices = fake_devices(count, host=name, model=f"card-{name}")
        self.lost: set[str] = set()
        self.boots = 0
        self.uses: list[Use] = []
        self.waiting: list[tuple[Ticket, Process]] = []
        self.strangers: dict[str, Process] = {}
        self.outlived: dict[str, Process] = {}  # of released leases, and nobody saw it start
        self.drivers = FakeDrivers()
        self.keeper: Keeper | None = None
        self.keeper_since = 0.0
        self.keeper_stopped = False
        self.away = False
        self.boot()

    def boot(self) -> None:
        """Start, or start again: of what ran before nothing is left."""
        self.boots += 1
        self.processes = WatchedProcesses(self)
        self.uses, self.waiting, self.strangers, self.outlived = [], [], {}, {}
        here = Host(name=self.name, boot_id=f"{self.name}-{self.boots}")
        self.gpu = GpuStore(self.world.store, here, ttl=TTL, clock=self.world.clock)
        self.desk = FakeDesk(KeeperStore(self.gpu))
        self.notes = Memory()
        self.keeper, self.keeper_stopped = None, False
        self.set_away(self.away)

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(d for d in self.all_devices if d.uuid not in self.lost)

    @property
    def holders(self) -> list[Use]:
        return [u for u in self.uses if u.holder in self.processes.alive and not u.released]

    def set_away(self, away: bool) -> None:
        self.away = away
        self.desk.error = AWAY if away else None

    def start_keeper(self) -> None:
        """As the next lease or a living holder does; it is told what living holders hold."""
        if self.keeper is not None:
            return
        self.keeper_stopped = False
        self.keeper_since = self.world.now
        self.keeper = Keeper(
            self.desk, self.desk, FakeDesk(self.drivers), self.processes,
            ttl=TTL, uid=0, notes=self.notes,
        )  # fmt: skip
        now = self.world.now
        for use in self.holders:
            self.keeper.hold(use.lease.id, use.lease.fence, use.holder, now, asked_at=now)

    def resume_keeper(self) -> None:
        """Let a stopped keeper go on, or start one."""
        if self.keeper_stopped:
            self.keeper_stopped = False
            self.keeper_since = self.world.now
            self.step()
        self.start_keeper()

    def ask(self, ticket: Ticket, process: Process) -> None:
        """Present a ticket; what is granted is used from then on."""
        asked = self.gpu.ask(ticket, process=process, devices=self.devices)
        lease = asked.lease
        if lease is None or lease.state is not LeaseState.ACTIVE or lease.process != process:
            return
        self.waiting = [(t, p) for t, p in self.waiting if t.id != ticket.id]
        self.world.check_grant(self, lease)
        self.uses.append(Use(lease=lease, holder=process, by={process}))
        self.show()
        self.start_keeper()
        if self.keeper is not None:
            now = self.world.now
            self.keeper.hold(lease.id, lease.fence, process, now, asked_at=now)

    def release(self, use: Use, *, closes: bool) -> None:
        """Do as ``GpuPool.release``: what still runs or is still open is left to the keeper."""
        children = {p for p in use.by if p in self.processes.alive and p != use.holder}
        if closes:
            use.by.discard(use.holder)
            self.show()
        use.released = True
        lease = use.lease
        if children or not closes:
            self.gpu.leave(lease.id, lease.fence, reason="released")
            self.start_keeper()
            if self.keeper is not None:
                self.keeper.left(lease.id, lease.fence, children, self.world.now, spared=use.holder)
        else:
            self.gpu.release(lease.id, lease.fence)
            if self.keeper is not None:
                self.keeper.drop(lease.id)

    def show(self) -> None:
        """Have the drivers list who is there."""
        on: dict[str, set[int]] = {}
        for use in self.uses:
            for process in use.by & self.processes.alive:
                for uuid in use.lease.devices:
                    on.setdefault(uuid, set()).add(process.pid)
        for uuid, process in [*self.strangers.items(), *self.outlived.items()]:
            if process in self.processes.alive:
                on.setdefault(uuid, set()).add(process.pid)
        self.drivers.on = on
        self.drivers.reported = self.devices

    def step(self) -> float:
        self.show()
        if self.keeper is None or self.keeper_stopped:
            return 5.0
        return self.keeper.step(self.world.now)

    def judge_signal(self, process: Process) -> None:
        """Fail where the keeper signals one that it must not."""
        assert process not in self.strangers.values(), "a stranger was signalled"
        if process in self.outlived.values():
            return
        for use in self.uses:
            if process == use.holder and process in self.processes.alive:
                assert not use.released, "a holder that released was signalled"
                assert self._is_over(use), "a holder was signalled in its time"
                return
            if process in use.by:
                return
        raise AssertionError(f"{process} is no lease's")

    def _is_over(self, use: Use) -> bool:
        records = {record.id: record for record in self.world.everything()}
        record = records.get(use.lease.id)
        if record is None or record.revoked:
            return True
        renewed = record.expires_at - TTL
        return self.world.now >= renewed + FENCE_AT * TTL - 0.001


class World:
    """Two machines, a store and the time."""

    def __init__(self) -> None:
        self.store = Store(MEMORY_URL)
        metadata.create_all(self.store.engine)
        self.clock = FakeClock()
        self.turns = Turns(self.store, clock=self.clock)
        self.fences: dict[tuple[str, str], int] = {}
        self.next_pid = 1000
        self.tickets: list[str] = []
        self.machines = [Machine(self, "a", 2), Machine(self, "b", 1)]

    @property
    def now(self) -> float:
        return self.clock.now

    def process(self) -> Process:
        self.next_pid += 1
        return Process(pid=self.next_pid, start=self.next_pid, uid=0)

    def ticket(self, machine: Machine, process: Process, gpus: int) -> Ticket:
        request = GpuRequest.of(gpus=gpus)
        name = f"{machine.name}:{process.pid}"
        ticket = Ticket(holder=name, request=request, host=machine.name)
        self.tickets.append(ticket.id)
        return ticket

    def everything(self) -> list[LeaseRecord]:
        return self.machines[0].gpu.leases()

    def advance(self, seconds: float) -> None:
        """Let time pass, the keepers doing what is due, the truth checked all along."""
        end = self.now + seconds
        while self.now < end:
            pause = min(machine.step() for machine in self.machines)
            self.check_uses()
            self.clock.advance(max(0.01, min(pause, end - self.now)))
        for machine in self.machines:
            machine.step()
        self.check()

    def check_grant(self, machine: Machine, lease: LeaseRecord) -> None:
        """Fences rise on every device."""
        for uuid in lease.devices:
            newest = self.fences.get((machine.name, uuid), 0)
            assert lease.fence > newest, "a fence did not rise"
            self.fences[machine.name, uuid] = lease.fence

    def check(self) -> None:
        """Hold the store to the truth."""
        self.check_uses()
        self.check_deadlines()
        held = [(r.host, uuid) for r in self.everything() for uuid in r.devices]
        assert len(held) == len(set(held)), "the store gives a device out twice"

    def check_uses(self) -> None:
        """No device is used under two leases."""
        for machine in self.machines:
            users: dict[str, str] = {}
            for use in machine.uses:
                if use.by & machine.processes.alive:
                    for uuid in use.lease.devices:
                        other = users.setdefault(uuid, use.lease.id)
                        assert other == use.lease.id, f"{uuid} is used under two leases"

    def check_deadlines(self) -> None:
        """Where a keeper watches, no holder lives on whose lease was not renewed for too long."""
        renewed = {record.id: record.expires_at - TTL for record in self.everything()}
        for machine in self.machines:
            if machine.keeper is None or machine.keeper_stopped:
                continue
            for use in machine.holders:
                if use.lease.id in renewed:
                    since = max(renewed[use.lease.id], machine.keeper_since)
                    late = self.now - since - FENCE_AT * TTL
                    assert late <= FIRST_ASK + 1, "a holder outlived its deadline"

    def calm_down(self) -> None:
        """End every fault and every holder, and give the keepers their time."""
        for machine in self.machines:
            machine.set_away(False)
            machine.lost.clear()
            machine.strangers.clear()
            machine.waiting.clear()
            for use in machine.uses:
                machine.processes.end(use.holder)
            machine.processes.stubborn.clear()
            machine.keeper_stopped = False
            machine.start_keeper()
        for ticket_id in self.tickets:
            self.machines[0].gpu.withdraw(ticket_id, reason="nobody waits any more")
        self.advance(TTL + 40)
        for record in self.everything():  # what nobody can name is a person's to end
            assert record.state is LeaseState.QUARANTINED, f"{record.state} for ever"
            assert self._is_used(record), "a free device is quarantined"
        for machine in self.machines:
            for use in machine.uses:
                for process in use.by:
                    machine.processes.end(process)
        self.advance(5)
        assert self.everything() == [], "a lease leaked"

    def _is_used(self, record: LeaseRecord) -> bool:
        return any(
            use.by & machine.processes.alive
            for machine in self.machines
            for use in machine.uses
            if use.lease.id == record.id
        )
