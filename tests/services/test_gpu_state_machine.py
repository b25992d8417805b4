"""Everything that can happen to leases, in any order, against the truth about who uses what."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from airflow_ai_provider.core.errors import LeaseLostError, StoreUnavailableError
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

    def some_use(self, which: int, pick: int) -> Use | None:
        holders = self.machine(which).holders
        return holders[pick % len(holders)] if holders else None

    # --- who uses devices

    @rule(which=WHICH, gpus=st.sampled_from([1, 1, 2]))
    def acquire(self, which: int, gpus: int) -> None:
        machine = self.machine(which)
        if machine.away or len(machine.waiting) > 3:
            return
        process = self.world.process()
        machine.processes.start(process)
        ticket = self.world.ticket(machine, process, gpus)
        machine.waiting.append((ticket, process))
        machine.ask(ticket, process)

    @rule(which=WHICH)
    def come_back(self, which: int) -> None:
        machine = self.machine(which)
        if machine.away:
            return
        for ticket, process in list(machine.waiting):
            machine.ask(ticket, process)

    @rule(which=WHICH, pick=PICK, marked=st.booleans(), stubborn=st.booleans())
    def fork(self, which: int, pick: int, marked: bool, stubborn: bool) -> None:
        use = self.some_use(which, pick)
        if use is None or use.stopped:
            return
        machine, child = self.machine(which), self.world.process()
        mark = use.lease.mark if marked else ""
        machine.processes.start(child, parent=use.holder, mark=mark)
        if stubborn:
            machine.processes.stubborn.add(child)
        use.by.add(child)
        machine.show()

    @rule(which=WHICH, pick=PICK, closes=st.booleans())
    def release(self, which: int, pick: int, closes: bool) -> None:
        use, machine = self.some_use(which, pick), self.machine(which)
        if use is None or use.stopped or machine.away:
            return
        with suppress(LeaseLostError):
            machine.release(use, closes=closes)

    @rule(which=WHICH)
    def close_contexts(self, which: int) -> None:
        for use in self.machine(which).uses:
            if use.released:
                use.by.discard(use.holder)

    # --- what goes wrong

    @rule(which=WHICH, pick=PICK)
    def kill_holder(self, which: int, pick: int) -> None:
        use, machine = self.some_use(which, pick), self.machine(which)
        if use is None:
            return
        machine.processes.end(use.holder)
        machine.show()
        if machine.keeper is not None and not machine.keeper_stopped:
            machine.keeper.holder_died(use.lease.id, self.world.now)

    @rule(which=WHICH, pick=PICK)
    def stop_or_continue_holder(self, which: int, pick: int) -> None:
        use = self.some_use(which, pick)
        if use is not None:
            use.stopped = not use.stopped

    @rule(which=WHICH)
    def kill_keeper(self, which: int) -> None:
        self.machine(which).keeper = None

    @rule(which=WHICH)
    def start_keeper(self, which: int) -> None:
        self.machine(which).start_keeper()

    @rule(which=WHICH)
    def stop_or_continue_keeper(self, which: int) -> None:
        machine = self.machine(which)
        machine.keeper_stopped = not machine.keeper_stopped and machine.keeper is not None

    @rule(which=WHICH)
    def part_or_join(self, which: int) -> None:
        machine = self.machine(which)
        machine.set_away(not machine.away)

    @rule(which=WHICH, pick=PICK)
    @precondition(lambda self: self.world.now > 1060)
    def reboot(self, which: int, pick: int) -> None:
        if pick % 3 == 0:
            self.machine(which).boot()

    @rule(which=WHICH, pick=PICK)
    def lose_or_find_device(self, which: int, pick: int) -> None:
        machine = self.machine(which)
        uuid = machine.all_devices[pick % len(machine.all_devices)].uuid
        machine.lost ^= {uuid}

    @rule(which=WHICH, pick=PICK)
    def stranger_comes_or_goes(self, which: int, pick: int) -> None:
        machine = self.machine(which)
        uuid = machine.all_devices[pick % len(machine.all_devices)].uuid
        if uuid in machine.strangers:
            machine.processes.end(machine.strangers.pop(uuid))
        else:
            machine.strangers[uuid] = self.world.process()
            machine.processes.start(machine.strangers[uuid])
        machine.show()

    # --- what people do

    @rule(which=WHICH, pick=PICK, state=st.sampled_from([DRAINED, IN_SERVICE]))
    def drain_or_undrain(self, which: int, pick: int, state: str) -> None:
        machine = self.machine(which)
        known = {uuid for host, uuid in self.world.fences if host == machine.name}
        if known:
            uuid = sorted(known)[pick % len(known)]
            set_standing(
                self.world.store, uuid, on_host=machine.name, state=state, by=OPERATOR,
                clock=self.world.clock,
            )  # fmt: skip

    @rule(which=WHICH, pick=PICK)
    def take_by_force(self, which: int, pick: int) -> None:
        """Only of a holder that is gone: to take it from a living one is to say that it is."""
        machine = self.machine(which)
        dead = [
            record
            for record in self.world.everything()
            if record.host == machine.name
            and not any(
                use.by & machine.processes.alive
                for use in machine.uses
                if use.lease.id == record.id
            )
        ]
        if dead and pick % 5 == 0:
            force_release(
                self.world.store, dead[pick % len(dead)].id, by=OPERATOR, clock=self.world.clock
            )

    # --- time

    @rule(seconds=st.sampled_from([0.3, 1.0, 2.0, 5.0, 13.0, 30.0, 46.0, 90.0]))
    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(which=WHICH)
    def somebody_plans(self, which: int) -> None:
        machine = self.machine(which)
        with suppress(StoreUnavailableError):
            if not machine.away:
                machine.gpu.tick()

    @invariant()
    def no_device_is_used_twice(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.calm_down()
        self.world.store.close()


TestGpuLife = GpuLife.TestCase
TestGpuLife.settings = settings(
    max_examples=30,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
