"""Whose a process on a device is: of the lease that ends there, of another, or nobody's.

What only the driver shows is named by what it was started with (the mark), by who started it, and
by the store. A process is taken for a leftover of an older lease only when the store knows that
lease as released, on this host and this device, before the one that ends was granted, and when
ending it would end nothing of a live lease. All others that cannot be named are strangers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from airflow_ai_provider.core.errors import StoreNotFoundError, StoreUnavailableError
from airflow_ai_provider.core.gpu.lease import Process, parse_mark
from airflow_ai_provider.core.gpu.reconcile import Finding, Whose
from airflow_ai_provider.core.gpu.tenure import Alarm, Tenure
from airflow_ai_provider.services.keeper_kept import REST, Ending, Kept
from airflow_ai_provider.services.keeper_ports import Desk, Leases, Processes, Queue

log = logging.getLogger("airflow_ai_provider.keeper")


class Naming:
    """Names the processes that a driver lists."""

    def __init__(
        self, leases: Desk[Leases], queue: Desk[Queue], processes: Processes,
        *, kept: Mapping[str, Kept], look_soon: Callable[[], None],
    ) -> None:  # fmt: skip
        self._leases = leases
        self._queue = queue
        self._processes = processes
        self._kept = kept
        self._look_soon = look_soon
        self._tenures: tuple[Tenure, ...] = ()
        self._read_at = -1.0

    def read(self, tenures: tuple[Tenure, ...], at: float) -> None:
        """Take over which leases of the host are live, as a reading says that began at ``at``."""
        self._tenures, self._read_at = tenures, at

    @property
    def has_read(self) -> bool:
        """Whether it is known at all which leases are live."""
        return self._read_at >= 0

    def whose(self, kept: Kept, ending: Ending, uuid: str, pid: int) -> Whose:
        """Return whose the process is that the driver lists on a device of ``kept``."""
        process = self._processes.identify(pid)
        if process is None:
            return Whose.VANISHED
        line = set(self._processes.lineage(process))
        mark = self._processes.mark_of(process)
        mine = kept.known | ({kept.holder} if kept.holder is not None else set())
        if process != kept.spared and (mark == kept.mark or line & mine):
            return Whose.OURS
        for other in self._others(kept):
            if uuid in other.devices and (other.mark == mark or line & self._of(other)):
                return Whose.NEIGHBOUR
        if kept.spared in line:
            return Whose.SPARED
        if (uuid, process) in ending.outlived and not self._serves_another(kept, process, line):
            return Whose.OUTLIVED
        return Whose.STRANGER

    def is_settled(self, kept: Kept, ending: Ending, finding: Finding, now: float) -> bool:
        """Whether all was asked that could name the strangers of ``finding``; else it is asked.

        The lease of one may be younger than the last reading of the store: it is read again first.
        Then the store is asked about their marks.
        """
        strange = {p for p in map(self._processes.identify, finding.pids) if p is not None}
        if not strange:
            return False  # they are gone: the next look says so
        if self._read_at <= max(ending.strange.setdefault(p, now) for p in strange):
            self._look_soon()
            return False
        marked = {p: m for p in strange - ending.asked if (m := self._old_mark(kept, p))}
        if not marked:
            return True
        ending.busy = True
        self._leases.submit(
            lambda leases: leases.outlived(kept.id, kept.fence, set(marked.values())),
            lambda result: self._answered(kept, ending, finding.device, marked, result, now),
        )
        return False

    def _old_mark(self, kept: Kept, process: Process) -> tuple[str, int] | None:
        if self._serves_another(kept, process, set(self._processes.lineage(process))):
            return None
        mark = self._processes.mark_of(process)
        if mark in {other.mark for other in self._tenures}:
            return None
        return parse_mark(mark)

    def _answered(
        self, kept: Kept, ending: Ending, device: str, marked: dict[Process, tuple[str, int]],
        result: Any, now: float,
    ) -> None:  # fmt: skip
        ending.busy = False
        ending.look_at = now
        if isinstance(result, Exception):
            log.warning("lease %s: who is on %s is not asked: %s", kept.id, device, result)
            ending.look_at = now + REST
            if isinstance(result, (StoreUnavailableError, StoreNotFoundError)):
                return  # it is asked again
            result = frozenset()
        ending.asked |= set(marked)
        for process, (lease_id, fence) in marked.items():
            if (lease_id, fence, device) in result:
                ending.outlived.add((device, process))
                self._tell(kept, device, process, f"{lease_id}:{fence}")

    def _tell(self, kept: Kept, device: str, process: Process, mark: str) -> None:
        command = self._processes.command(process.pid) or "gone"
        sentence = (
            f"process {process.pid} ({command}) on {device} outlived its lease {mark}, "
            "which is released: it is ended"
        )[:500]
        log.warning("lease %s: %s", kept.id, sentence)
        alarm = Alarm(
            name="outlived", device=device, lease_id=kept.id, fence=kept.fence, verdict="warn",
            limit="nothing of a released lease", observed=str(process.pid), sentence=sentence,
        )  # fmt: skip
        self._queue.submit(lambda queue: queue.alarm(alarm), lambda _result: None)

    def _serves_another(self, kept: Kept, process: Process, line: set[Process]) -> bool:
        """Whether it, or what it started, is of another live lease, wherever that is."""
        for other in self._others(kept):
            theirs = self._of(other)
            if line & theirs or any(process in self._processes.lineage(one) for one in theirs):
                return True
        return False

    def _others(self, kept: Kept) -> list[Tenure]:
        return [other for other in self._tenures if other.id != kept.id]

    def _of(self, other: Tenure) -> set[Process]:
        known = set(self._kept[other.id].known) if other.id in self._kept else set()
        return known if other.process is None else known | {other.process}
