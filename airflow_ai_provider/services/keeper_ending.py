"""How a lease ends: what its holder left is ended, its devices are looked at, then it is released.

Nothing is released while a known process of the holder lives, or while a driver lists one on the
devices that is not accounted for. A process that nobody can name is never killed: the lease is
quarantined with an alarm until the process is gone, or a person says otherwise.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from airflow_ai_provider.core.errors import LeaseLostError, StoreNotFoundError
from airflow_ai_provider.core.gpu.lease import Process
from airflow_ai_provider.core.gpu.probe import Occupants
from airflow_ai_provider.core.gpu.reconcile import Finding, Standing, judge, said
from airflow_ai_provider.core.gpu.tenure import Alarm
from airflow_ai_provider.services.keeper_kept import GRACE, REST, Ending, Kept
from airflow_ai_provider.services.keeper_naming import Naming
from airflow_ai_provider.services.keeper_ports import (
    Desk,
    Drivers,
    Groups,
    Leases,
    Processes,
    Queue,
)

log = logging.getLogger("airflow_ai_provider.keeper")

END_EVERY = 0.2  # seconds between looks at what an ended holder left
LOOK_ASIDE_EVERY = 2.0  # the same, of a lease in quarantine
KILL_AFTER = 3.0  # seconds from SIGTERM to SIGKILL
GIVE_UP_AFTER = 10.0  # seconds from SIGKILL to quarantine


class Ender:
    """Ends leases, one look at a time."""

    def __init__(
        self, leases: Desk[Leases], queue: Desk[Queue], drivers: Desk[Drivers],
        processes: Processes, groups: Groups,
        *, kept: Mapping[str, Kept], forget: Callable[[Kept], None], look_soon: Callable[[], None],
    ) -> None:  # fmt: skip
        self.naming = Naming(leases, queue, processes, kept=kept, look_soon=look_soon)
        self._queue = queue
        self._drivers = drivers
        self._processes = processes
        self._groups = groups
        self._forget = forget
        self._look_soon = look_soon

    def begin(
        self, kept: Kept, now: float, *, reason: str, grace: float = GRACE, hard: bool = False,
        told: bool = False,
    ) -> None:  # fmt: skip
        """Begin to end ``kept``; ``told`` when the store knows already that it is in doubt."""
        if kept.ending is not None:
            kept.ending.hard |= hard
            return
        log.info("lease %s: %s; ending what is left", kept.id, reason)
        kept.ending = Ending(since=now, reason=reason, grace=grace, hard=hard)
        left = self.left(kept)
        if hard and left:
            kept.known |= left
            self._press(kept, kept.ending, left, now)
        if left and not told:
            self._queue.submit(
                lambda queue: queue.doubt(kept.id, kept.fence, reason),
                lambda result: self._noted(kept, result),
            )

    def step(self, kept: Kept, now: float) -> None:
        """Do what is due for a lease that is being ended."""
        ending = kept.ending
        if ending is None or ending.busy or now < ending.look_at:
            return
        ending.look_at = now + (LOOK_ASIDE_EVERY if ending.aside else END_EVERY)
        left = self.left(kept)
        kept.known |= left
        if left:
            self._press(kept, ending, left, now)
        elif kept.lost:
            self._forget(kept)
        elif kept.holder is not None and now - ending.since < END_EVERY:
            pass  # a child left between fork and exec shows neither its mark nor whose it is
        elif not kept.devices:
            self._look_soon()  # the store says which they are, or that it knows no such lease
        else:
            ending.busy = True
            self._drivers.submit(
                lambda drivers: {uuid: drivers.occupants(uuid) for uuid in kept.devices},
                lambda result: self._listed(kept, ending, result, now),
            )

    def left(self, kept: Kept) -> set[Process]:
        """Return the living processes of a lease."""
        left = self._processes.left_by(
            mark=kept.mark, holder=kept.holder, known=kept.known, spared=kept.spared
        )
        if kept.group is not None and kept.spared is None:
            left |= self._groups.members(kept.group)
        return left

    def _press(self, kept: Kept, ending: Ending, left: set[Process], now: float) -> None:
        if ending.killed_at is not None or ending.hard:
            if ending.killed_at is None:
                ending.killed_at = now
            self._kill(kept, ending, left)
            if now - ending.killed_at >= GIVE_UP_AFTER:
                pids = said(p.pid for p in left)
                why = f"processes {pids} of its holder do not end"
                self._set_aside(kept, ending, "stuck", why, device="", observed=pids)
        elif ending.termed_at is None:
            if now - ending.since >= ending.grace:
                ending.termed_at = now
                self._signal_all(kept, ending, left, signal.SIGTERM)
        elif now - ending.termed_at >= KILL_AFTER:
            ending.killed_at = now
            self._kill(kept, ending, left)

    def _kill(self, kept: Kept, ending: Ending, left: Iterable[Process]) -> None:
        if kept.group is not None and kept.spared is None:
            self._groups.kill(kept.group)
        self._signal_all(kept, ending, left, signal.SIGKILL)

    def _signal_all(
        self, kept: Kept, ending: Ending, left: Iterable[Process], number: signal.Signals
    ) -> None:
        for process in left:
            sent = self._processes.send_signal(process, number)
            if (process, number) not in ending.signalled:
                ending.signalled.add((process, number))
                log.info(
                    "lease %s: %s to process %d%s",
                    kept.id, number.name, process.pid, "" if sent else " is not permitted",
                )  # fmt: skip

    def _listed(self, kept: Kept, ending: Ending, result: Any, now: float) -> None:
        ending.busy = False
        if isinstance(result, Exception):
            why = f"the driver does not answer: {result}"
            result = {uuid: Occupants(is_certain=False, why_uncertain=why) for uuid in kept.devices}
        whose = {
            uuid: {pid: self.naming.whose(kept, ending, uuid, pid) for pid in occupants.pids}
            for uuid, occupants in result.items()
        }
        self._act(kept, ending, judge(result, whose), now)

    def _act(self, kept: Kept, ending: Ending, finding: Finding, now: float) -> None:
        pids = finding.pids
        if finding.standing is not Standing.STRANGER:
            ending.strange.clear()
        if finding.standing is not Standing.LINGERS:
            ending.lingers_since = None
        if finding.standing is Standing.FREE:
            self._release(kept, ending, now)
        elif finding.standing is Standing.TO_END:
            kept.known |= {p for p in map(self._processes.identify, pids) if p is not None}
            ending.look_at = now
        elif finding.standing is Standing.LINGERS:
            self._linger(kept, ending, finding, now)
        elif finding.standing is Standing.STRANGER:
            self._find_strange(kept, ending, finding, now)
        else:
            why = f"who is on {finding.device} is not certain: {finding.why}"
            self._set_aside(
                kept, ending, "uncertain", why, device=finding.device, observed=finding.why
            )

    def _linger(self, kept: Kept, ending: Ending, finding: Finding, now: float) -> None:
        """Wait for a context that closes, as long as its process is there to close it."""
        if ending.lingers_since is None:
            ending.lingers_since = now
            log.info("lease %s: process %s is still on its device", kept.id, said(finding.pids))
        spared_alive = kept.spared is not None and self._processes.is_alive(kept.spared)
        if not spared_alive and now - ending.lingers_since >= GIVE_UP_AFTER:
            pids = said(finding.pids)
            why = f"{finding.device} still lists process {pids}, which is not to be seen here"
            self._set_aside(kept, ending, "vanished", why, device=finding.device, observed=pids)

    def _find_strange(self, kept: Kept, ending: Ending, finding: Finding, now: float) -> None:
        """Raise the alarm over processes that nobody can name; they are left alone.

        First all is asked that could name them.
        """
        if not self.naming.is_settled(kept, ending, finding, now):
            return
        named = "; ".join(
            f"{pid} ({self._processes.command(pid) or 'gone'})" for pid in sorted(finding.pids)
        )
        why = f"unknown process on {finding.device}: {named}"
        self._set_aside(
            kept, ending, "stranger", why, device=finding.device, observed=said(finding.pids)
        )

    def _set_aside(
        self, kept: Kept, ending: Ending, name: str, why: str, *, device: str, observed: str
    ) -> None:
        """Quarantine a lease, and say so where people look: the log, the status, the ledger."""
        why = why[:500]
        if ending.aside == why or ending.busy:
            return
        if ending.alarmed != why:
            log.error("lease %s is quarantined: %s", kept.id, why)
            ending.alarmed = why
        if kept.lost:  # no more than the log can be told
            ending.aside = why
            return
        alarm = Alarm(
            name=name, device=device or (kept.devices or ("",))[0], lease_id=kept.id,
            fence=kept.fence, verdict="fail", limit="nobody but the lease's own",
            observed=observed, sentence=why,
        )  # fmt: skip

        def write(queue: Queue) -> None:
            queue.quarantine(kept.id, kept.fence, why)
            queue.alarm(alarm)

        def written(result: Any) -> None:
            ending.busy = False
            if self._noted(kept, result):
                ending.aside = why
            else:
                ending.look_at += REST

        ending.busy = True
        self._queue.submit(write, written)

    def _release(self, kept: Kept, ending: Ending, now: float) -> None:
        def released(result: Any) -> None:
            ending.busy = False
            if isinstance(result, LeaseLostError):
                log.info("lease %s was released by another", kept.id)
            elif isinstance(result, (StoreNotFoundError, FileNotFoundError)):
                log.warning("lease %s: the store is gone, and so is the lease", kept.id)
            elif isinstance(result, Exception):
                log.warning("lease %s is not released yet: %s", kept.id, result)
                ending.look_at = now + REST
                return
            else:
                log.info("lease %s is released", kept.id)
            self._forget(kept)

        ending.busy = True
        self._queue.submit(
            lambda queue: queue.release(kept.id, kept.fence, ending.reason), released
        )

    def _noted(self, kept: Kept, result: Any) -> bool:
        """Return whether the store took what it was told."""
        if isinstance(result, LeaseLostError):
            kept.lost = True
        elif isinstance(result, Exception):
            log.warning("lease %s: %s", kept.id, result)
        return not isinstance(result, Exception)
