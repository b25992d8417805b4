"""The keeper: one small process per host, user and store, that outlives every holder.

It renews the leases of this host, learns from the kernel when a holder dies, ends what the holder
left, and only then releases. When it dies itself, the next lease or a living holder starts another,
which adopts what the store says is live. It imports the database driver only after its first
second, since many leases are shorter than that.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from airflow_ai_provider.core.errors import AirflowAiError, LeaseLostError, StoreNotFoundError
from airflow_ai_provider.core.gpu.lease import LeaseRecord, Process
from airflow_ai_provider.core.gpu.states import LeaseState

log = logging.getLogger("airflow_ai_provider.keeper")

SCAN_EVERY = 1.0  # seconds between looks at what holders started
END_EVERY = 0.2  # seconds between looks at what an ended holder left
GRACE = 0.5  # seconds that it has to end by itself
GRACE_OF_LIVING = 5.0  # the same, when the holder released and lives on
KILL_AFTER = 3.0  # seconds from SIGTERM to SIGKILL
REST = 2.0  # seconds before a store that did not answer is asked again
GIVE_UP_AFTER = 10.0  # seconds from SIGKILL to quarantine


class Leases(Protocol):
    """What the keeper needs of ``store.gpu.GpuStore``."""

    def renew(self, fences: dict[str, int]) -> set[str]: ...

    def leases(self, *, mine: bool = False, uid: int | None = None) -> list[LeaseRecord]: ...

    def doubt(self, lease_id: str, fence: int, *, reason: str) -> None: ...

    def quarantine(self, lease_id: str, fence: int, *, reason: str) -> None: ...

    def release(self, lease_id: str, fence: int, *, reason: str = ...) -> None: ...


class Processes(Protocol):
    """What the keeper needs of ``adapters.processes``."""

    def is_alive(self, process: Process) -> bool: ...

    def started_by(self, root: Process) -> set[Process]: ...

    def left_by(
        self, *, mark: str, holder: Process | None, known: Iterable[Process]
    ) -> set[Process]: ...

    def send_signal(self, process: Process, number: signal.Signals) -> bool: ...


@dataclass
class Kept:
    """A lease in the keeper's care; it is being ended once ``ending_since`` is set."""

    id: str
    fence: int
    holder: Process | None
    known: set[Process] = field(default_factory=set)
    ending_since: float | None = None
    grace: float = GRACE
    reason: str = ""
    termed_at: float | None = None
    killed_at: float | None = None
    quarantined: bool = False

    @property
    def mark(self) -> str:
        """What the holder's programs carry in their environment."""
        return f"{self.id}:{self.fence}"


class Keeper:
    """The keeper's decisions, one ``step`` at a time; time comes in as an argument."""

    def __init__(
        self, open_leases: Callable[[], Leases], processes: Processes, *, ttl: float, uid: int
    ) -> None:
        self.kept: dict[str, Kept] = {}
        self._open_leases = open_leases
        self._leases: Leases | None = None
        self._processes = processes
        self._uid = uid
        self._renew_every = ttl / 4
        self._next_tick: float | None = None
        self._next_scan = 0.0
        self._rest_until = 0.0  # while the store does not answer

    @property
    def leases(self) -> Leases:
        """The store, opened when it is first needed."""
        if self._leases is None:
            self._leases = self._open_leases()
        return self._leases

    def hold(self, lease_id: str, fence: int, holder: Process) -> Kept:
        """Take a lease into care."""
        kept = self.kept.get(lease_id)
        if kept is None or kept.fence != fence:
            kept = self.kept[lease_id] = Kept(id=lease_id, fence=fence, holder=holder)
        return kept

    def drop(self, lease_id: str) -> None:
        """Forget a lease that its holder released, unless it is being ended."""
        kept = self.kept.get(lease_id)
        if kept is not None and kept.ending_since is None:
            del self.kept[lease_id]

    def left(self, lease_id: str, fence: int, known: set[Process], now: float) -> None:
        """End what a holder left running that released its lease and lives on."""
        kept = self.kept[lease_id] = Kept(id=lease_id, fence=fence, holder=None, known=known)
        kept.grace = GRACE_OF_LIVING
        self._begin_end(kept, now, reason="released; what it started still ran", told=True)

    def look_soon(self) -> None:
        """Look into the store at the next step."""
        self._next_tick = 0.0

    def step(self, now: float) -> float:
        """Do what is due and return in how many seconds to come again."""
        if self._next_tick is None:
            self._next_tick = now + 1.0
        for kept in list(self.kept.values()):
            if kept.ending_since is not None and now >= self._rest_until:
                self._guarded(partial(self._end, kept, now), now)
        if now >= self._next_tick:
            self._next_tick = now + self._renew_every
            self._guarded(partial(self._tick, now), now)
        if now >= self._next_scan:
            self._next_scan = now + SCAN_EVERY
            self._scan(now)
        ending = any(kept.ending_since is not None for kept in self.kept.values())
        pause = END_EVERY if ending else SCAN_EVERY if self.kept else self._renew_every
        return max(0.01, min(pause, self._next_tick - now))

    def holder_died(self, lease_id: str, now: float) -> None:
        """Begin to end a lease whose holder is dead."""
        kept = self.kept.get(lease_id)
        if kept is not None and kept.ending_since is None:
            self._begin_end(kept, now, reason="its holder died")

    def _scan(self, now: float) -> None:
        for kept in list(self.kept.values()):
            if kept.holder is None or kept.ending_since is not None:
                continue
            if self._processes.is_alive(kept.holder):
                kept.known = {p for p in kept.known if self._processes.is_alive(p)}
                kept.known |= self._processes.started_by(kept.holder)
            else:
                self.holder_died(kept.id, now)

    def _tick(self, now: float) -> None:
        held = {k.id: k.fence for k in self.kept.values() if k.ending_since is None}
        self.leases.renew(held)
        live = {record.id: record for record in self.leases.leases(mine=True, uid=self._uid)}
        for lease_id, kept in list(self.kept.items()):
            if lease_id not in live or live[lease_id].fence != kept.fence:
                log.info("lease %s is no longer live", lease_id)
                del self.kept[lease_id]
        for record in live.values():
            self._adopt(record, now)

    def _adopt(self, record: LeaseRecord, now: float) -> None:
        known = record.id in self.kept
        if record.process is not None:
            kept = self.hold(record.id, record.fence, record.process)
        else:
            kept = self.kept.setdefault(
                record.id, Kept(id=record.id, fence=record.fence, holder=None)
            )
        if not known:
            log.info("lease %s (%s) is in care", record.id, record.state.value)
        kept.known.update(record.left_behind)
        kept.quarantined = record.state is LeaseState.QUARANTINED
        if kept.ending_since is not None:
            return
        if record.revoked:
            kept.grace = GRACE_OF_LIVING if record.process is None else GRACE
            self._begin_end(kept, now, reason=record.reason, told=True)
        elif kept.holder is None or not self._processes.is_alive(kept.holder):
            self._begin_end(kept, now, reason="its holder died")

    def _begin_end(self, kept: Kept, now: float, *, reason: str, told: bool = False) -> None:
        log.info("lease %s: %s; ending what is left", kept.id, reason)
        kept.ending_since = now
        kept.reason = reason
        if not told and not kept.quarantined and self._left(kept):
            self._guarded(partial(self._doubt, kept), now)

    def _doubt(self, kept: Kept) -> None:
        try:
            self.leases.doubt(kept.id, kept.fence, reason=kept.reason)
        except LeaseLostError:
            del self.kept[kept.id]

    def _left(self, kept: Kept) -> set[Process]:
        return self._processes.left_by(mark=kept.mark, holder=kept.holder, known=kept.known)

    def _end(self, kept: Kept, now: float) -> None:
        left = self._left(kept)
        kept.known |= left
        if not left:
            try:
                self.leases.release(kept.id, kept.fence, reason=kept.reason)
            except LeaseLostError:
                log.info("lease %s was released by another", kept.id)
            except (StoreNotFoundError, FileNotFoundError):
                log.warning("lease %s: the store is gone, and so is the lease", kept.id)
            else:
                log.info("lease %s is released", kept.id)
            self.kept.pop(kept.id, None)
        elif kept.termed_at is None:
            if now - (kept.ending_since or now) >= kept.grace:
                kept.termed_at = now
                self._signal_all(kept, left, signal.SIGTERM)
        elif kept.killed_at is None:
            if now - kept.termed_at >= KILL_AFTER:
                kept.killed_at = now
                self._signal_all(kept, left, signal.SIGKILL)
        else:
            self._signal_all(kept, left - kept.known, signal.SIGKILL)
            if now - kept.killed_at >= GIVE_UP_AFTER and not kept.quarantined:
                self._set_aside(kept, left)

    def _set_aside(self, kept: Kept, left: set[Process]) -> None:
        pids = ", ".join(str(p.pid) for p in sorted(left, key=lambda p: p.pid))
        log.error("lease %s is quarantined: processes %s do not end", kept.id, pids)
        try:
            self.leases.quarantine(
                kept.id, kept.fence, reason=f"processes {pids} of its holder do not end"
            )
        except LeaseLostError:
            self.kept.pop(kept.id, None)
        else:
            kept.quarantined = True

    def _signal_all(self, kept: Kept, left: set[Process], number: signal.Signals) -> None:
        for process in left:
            sent = self._processes.send_signal(process, number)
            log.info(
                "lease %s: %s to process %d%s",
                kept.id, number.name, process.pid, "" if sent else " is not permitted",
            )  # fmt: skip

    def _guarded(self, action: Callable[[], None], now: float) -> None:
        try:
            action()
        except (
            AirflowAiError,
            OSError,
        ) as error:  # the store may answer again: holders still need care
            log.warning("%s: %s", type(error).__name__, error)
            self._rest_until = now + REST
            self._next_tick = min(self._next_tick or now, self._rest_until)


def main() -> None:
    """Run the keeper that standard input describes; see ``adapters.keeper.start_keeper``."""
    from airflow_ai_provider.services.keeper_process import run

    run(started=time.monotonic(), uid=os.getuid())


if __name__ == "__main__":
    main()
