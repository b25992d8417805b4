"""Everything that can happen to leases, in any order, against the truth about who uses what."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from airflow_ai_provider.core.errors import LeaseLostError
from airflow_ai_provider.store.gpu_admin import (
    DRAINED,
    IN_SERVICE,
    Person,
    force_release,
    set_standing,
)
from tests.services.gpu_world import Machine, Use, World

WHICH = st.integers(0, 1)
PICK = st.integers(0, 50)
OPERATOR = Person(name="operator", reason="a test")


class GpuLife(RuleBasedStateMachine):
    """Two hosts, three devices, whoever comes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def machine(self, which: int) -> Machine:
        return self.world.machines[which]

    def holders(self) -> list[tuple[Machine, Use]]:
        return [(machine, use) for machine in self.world.machines for use in machine.holders]

    def some_holder(self, pick: int) -> tuple[Machine, Use]:
        holders = self.holders()
        return holders[pick % len(holders)]

    @initialize()
    def everybody_comes(self) -> None:
        for which in (0, 1):
            self.acquire(which=which, gpus=1)

    # --- who uses devices

    @rule(which=WHICH, gpus=st.sampled_from([1, 1, 2]))
    @precondition(lambda self: any(not m.away for m in self.world.machines))
    def acquire(self, which: int, gpus: int) -> None:
        machine = self.machine(which)
        machine = machine if not machine.away else self.machine(1 - which)
        if len(machine.waiting) < 2:
            process = self.world.process()
            machine.processes.start(process)
            ticket = self.world.ticket(machine, process, gpus)
            machine.waiting.append((ticket, process))
        for ticket, process in list(machine.waiting):
            machine.ask(ticket, process)

    @rule(gpus=st.sampled_from([1, 1, 2]))
    def acquire_after_a_while(self, gpus: int) -> None:
        self.world.advance(8.0)
        for which in (0, 1):
            if not self.machine(which).away:
                self.acquire(which, gpus)

    @rule(pick=PICK, marked=st.booleans(), stubborn=st.booleans(), dies=st.booleans())
    @precondition(lambda self: self.holders())
    def fork(self, pick: int, marked: bool, stubborn: bool, dies: bool) -> None:
        """Start a child; a holder that dies at once leaves it before anybody saw it."""
        machine, use = self.some_holder(pick)
        if use.stopped:
            return
        child = self.world.process()
        mark = use.lease.mark if marked else ""
        machine.processes.start(child, parent=use.holder, mark=mark)
        if stubborn:
            machine.processes.stubborn.add(child)
        use.by.add(child)
        machine.show()
        if dies:
            self.kill(machine, use)

    @rule(pick=PICK, closes=st.booleans())
    @precondition(lambda self: any(not m.away for m, _ in self.holders()))
    def release(self, pick: int, closes: bool) -> None:
        machine, use = self.some_holder(pick)
        if not use.stopped and not machine.away:
            with suppress(LeaseLostError):
                machine.release(use, closes=closes)

    @rule()
    @precondition(lambda self: any(u.released for m in self.world.machines for u in m.uses))
    def close_contexts(self) -> None:
        for machine in self.world.machines:
            for use in machine.uses:
                if use.released:
                    use.by.discard(use.holder)

    # --- what goes wrong

    @rule(pick=PICK)
    @precondition(lambda self: self.holders())
    def kill_holder(self, pick: int) -> None:
        self.kill(*self.some_holder(pick))

    def kill(self, machine: Machine, use: Use) -> None:
        machine.processes.end(use.holder)
        machine.show()
        if machine.keeper is not None and not machine.keeper_stopped:
            machine.keeper.holder_died(use.lease.id, self.world.now)

    @rule(pick=PICK)
    @precondition(lambda self: self.holders())
    def stop_or_continue_holder(self, pick: int) -> None:
        _, use = self.some_holder(pick)
        use.stopped = not use.stopped

    @rule(which=WHICH, fault=st.sampled_from(["dies", "stops", "goes on", "goes on"]))
    def keeper(self, which: int, fault: str) -> None:
        """The keeper dies, is stopped, or goes on: a dead one is followed by another."""
        machine = self.machine(which)
        if fault == "dies":
            machine.keeper = None
        elif fault == "stops":
            machine.keeper_stopped = machine.keeper is not None
        else:
            machine.resume_keeper()

    @rule(which=WHICH, hour=PICK)
    def store(self, which: int, hour: int) -> None:
        """A host is parted from the store now and then, and joined again sooner."""
        machine = self.machine(which)
        machine.set_away(not machine.away and hour % 3 == 0)

    @rule(which=WHICH, seconds=st.sampled_from([10.0, 20.0, 30.0, 32.0, 60.0]))
    @precondition(lambda self: self.holders())
    def outage(self, which: int, seconds: float) -> None:
        machine = self.machine(which)
        self.world.advance(1.0)
        machine.set_away(True)
        self.world.advance(seconds)
        machine.set_away(False)

    @rule(which=WHICH, number=PICK)
    def stranger_comes_or_goes(self, which: int, number: int) -> None:
        machine = self.machine(which)
        uuid = machine.all_devices[number % len(machine.all_devices)].uuid
        if uuid in machine.strangers:
            machine.processes.end(machine.strangers.pop(uuid))
        else:
            machine.strangers[uuid] = self.world.process()
            machine.processes.start(machine.strangers[uuid])
        machine.show()

    @rule(pick=PICK, stubborn=st.booleans())
    @precondition(lambda self: any(not m.away and not m.waiting for m, _ in self.holders()))
    def something_outlives_its_lease(self, pick: int, stubborn: bool) -> None:
        """A program that nobody saw start opens the device after the release, and another comes."""
        machine, use = self.some_holder(pick)
        if use.stopped or machine.away or pick % 4:  # as rare as it is dear
            return
        with suppress(LeaseLostError):
            machine.release(use, closes=True)
        uuid = use.lease.devices[0]
        live = {record.id for record in self.world.everything()}
        if use.lease.id in live or machine.outlived.get(uuid) in machine.processes.alive:
            return
        process = machine.outlived[uuid] = self.world.process()
        machine.processes.start(process, mark=use.lease.mark)
        if stubborn:
            machine.processes.stubborn.add(process)
        machine.show()
        self.acquire(which=self.world.machines.index(machine), gpus=1)

    @rule(
        which=WHICH,
        number=PICK,
        event=st.sampled_from(["boot", "lose", "lose", "drain", "back", "back", "force", "plan"]),
    )
    def rarely(self, which: int, number: int, event: str) -> None:
        machine = self.machine(which)
        uuid = machine.all_devices[number % len(machine.all_devices)].uuid
        if event == "boot" and number % 2:
            machine.boot()
        elif event == "lose":
            machine.lost ^= {uuid}
        elif event in {"drain", "back"} and (machine.name, uuid) in self.world.fences:
            set_standing(
                self.world.turns, uuid, on_host=machine.name, by=OPERATOR,
                state=DRAINED if event == "drain" else IN_SERVICE,
            )  # fmt: skip
        elif event == "force":
            self.take_by_force(machine)
        elif event == "plan" and not machine.away:
            machine.gpu.tick()

    def take_by_force(self, machine: Machine) -> None:
        """Only of a holder that is gone: to take it from a living one is to say that it is."""
        used = {u.lease.id for u in machine.uses if u.by & machine.processes.alive}
        for record in self.world.everything():
            if record.host == machine.name and record.id not in used:
                force_release(self.world.turns, record.id, by=OPERATOR)
                return

    # --- time

    @rule(seconds=st.sampled_from([0.3, 1.0, 2.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(seconds=st.sampled_from([8.0, 13.0, 30.0, 46.0, 90.0]))
    def wait_long(self, seconds: float) -> None:
        self.world.advance(seconds)

    @invariant()
    def no_device_is_used_twice(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.calm_down()
        self.world.store.close()


TestGpuLife = GpuLife.TestCase
TestGpuLife.settings = settings(
    max_examples=30,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
