"""Ends leases that hold devices and do not use them; see ``core.gpu.idleness`` for the rule."""

from __future__ import annotations

import logging
from typing import Any

from airflow_ai_provider.core.gpu.idleness import Idle, is_busy
from airflow_ai_provider.core.gpu.tenure import Alarm
from airflow_ai_provider.services.keeper_ending import Ender
from airflow_ai_provider.services.keeper_kept import Kept
from airflow_ai_provider.services.keeper_ports import Desk, Drivers, Leases, Processes, Queue

log = logging.getLogger("airflow_ai_provider.keeper")


class IdleRule:
    """Looks at leases with an ``idle_limit``, warns, and ends them."""

    def __init__(
        self, leases: Desk[Leases], queue: Desk[Queue], drivers: Desk[Drivers],
        processes: Processes, ender: Ender,
    ) -> None:  # fmt: skip
        self._leases = leases
        self._queue = queue
        self._drivers = drivers
        self._processes = processes
        self._ender = ender

    def step(self, kept: Kept, now: float) -> None:
        """Look at ``kept`` if it is time."""
        if kept.idle is None or kept.ending is not None or not kept.devices:
            return
        if now - kept.idle_looked < kept.idle.look_every:
            return
        cpu_percent = self._cpu_percent(kept, now - kept.idle_looked)
        kept.idle_looked = now
        self._drivers.submit(
            lambda drivers: [drivers.busy_percent(uuid) for uuid in kept.devices],
            lambda result: self._seen(kept, result, cpu_percent, now),
        )

    def _cpu_percent(self, kept: Kept, seconds: float) -> float:
        """Return what the lease's processes took of one core since the last look."""
        alive = kept.known | ({kept.holder} if kept.holder is not None else set())
        taken = {process: self._processes.cpu_seconds(process) for process in alive}
        before, kept.cpu = kept.cpu, taken
        spent = sum(max(0.0, total - before.get(process, 0.0)) for process, total in taken.items())
        return 100.0 * spent / max(seconds, 0.001)

    def _seen(self, kept: Kept, result: Any, cpu_percent: float, now: float) -> None:
        if kept.idle is None or kept.ending is not None or isinstance(result, Exception):
            return  # a driver that does not answer ends nothing
        warned, limit = kept.idle.warned, kept.idle.limit
        busy = is_busy(result, cpu_percent=cpu_percent)
        match kept.idle.look(now, is_busy=busy):
            case Idle.IN_USE if warned:
                self._say(kept, "")
            case Idle.WARN:
                ends_in = limit - (now - kept.idle.idle_since)
                sentence = f"idle; it ends in {ends_in:.0f} s unless it is used"
                log.warning("lease %s is %s (idle_limit %g s)", kept.id, sentence, limit)
                self._say(kept, sentence)
            case Idle.END:
                self._end(kept, now, limit)

    def _say(self, kept: Kept, sentence: str) -> None:
        self._leases.submit(
            lambda leases: leases.say(kept.id, kept.fence, sentence), lambda _result: None
        )

    def _end(self, kept: Kept, now: float, limit: float) -> None:
        sentence = f"its devices were idle for {limit:g} s, its idle_limit"
        alarm = Alarm(
            name="idle", device=kept.devices[0], lease_id=kept.id, fence=kept.fence,
            verdict="warn", limit=limit, observed=None, sentence=f"The lease ended: {sentence}.",
        )  # fmt: skip
        self._queue.submit(lambda queue: queue.alarm(alarm), lambda _result: None)
        self._ender.begin(kept, now, reason=sentence, grace=0.0)
