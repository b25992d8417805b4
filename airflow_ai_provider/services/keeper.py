"""The keeper: one small process per host, user and store, that outlives every holder.

It renews the leases of this host, learns from the kernel when a holder dies, ends what the holder
left, and only then releases. When it dies itself, the next lease or a living holder starts another,
which adopts what the store says is live and what the one before it noted. A holder whose lease
could not be renewed in time is killed by the clock alone, whether the store answers or not.
"""

from __future__ import annotations

import logging
import math
import os
import time
from functools import partial
from typing import Any

from airflow_ai_provider.core.errors import StoreNotFoundError
from airflow_ai_provider.core.gpu.idleness import IdleWatch
from airflow_ai_provider.core.gpu.lease import Process
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.core.gpu.tenure import Tenure, Visit
from airflow_ai_provider.services.keeper_drivers import Report
from airflow_ai_provider.services.keeper_ending import END_EVERY, Ender
from airflow_ai_provider.services.keeper_idle import IdleRule
from airflow_ai_provider.services.keeper_kept import GRACE, REST, Kept
from airflow_ai_provider.services.keeper_ports import (
    Desk,
    Drivers,
    Groups,
    Leases,
    NoGroups,
    NoNotes,
    Notes,
    Processes,
    Queue,
)

log = logging.getLogger("airflow_ai_provider.keeper")

SCAN_EVERY = 1.0  # seconds between looks at what holders started
DEVICES_EVERY = 10.0  # seconds between looks at what the drivers report
LONG_AWAY = 600.0  # seconds that the store has not answered before a keeper with nobody left leaves
GRACE_OF_LIVING = 5.0  # seconds that what a holder left has to end, when it released and lives
FENCE_AT = 0.75  # of the time to live, from when the last good renewal was sent
RENEWALS = 5  # in a time to live: half of it and more may pass without a store
FIRST_ASK = 5.0  # seconds that a new keeper has to renew what another kept


class Keeper:
    """The keeper's decisions, one ``step`` at a time.

    Time comes in as an argument, in seconds since boot, suspension included.
    """

    def __init__(
        self, leases: Desk[Leases], queue: Desk[Queue], drivers: Desk[Drivers],
        processes: Processes, *, ttl: float, uid: int, groups: Groups | None = None,
        notes: Notes | None = None,
    ) -> None:  # fmt: skip
        self.kept: dict[str, Kept] = {}
        self._leases = leases
        self._queue = queue
        self._drivers = drivers
        self._processes = processes
        self._groups = groups or NoGroups()
        self._notes = notes or NoNotes()
        self._recalled = self._notes.load()
        self._noted = self._recalled
        self._uid = uid
        self._ttl = ttl
        self._now = 0.0
        self._visiting = False
        self._next_visit: float | None = None
        self._rest_until = 0.0  # while the store does not answer
        self._trouble = ""
        self._away_since: float | None = None
        self._next_scan = 0.0
        self._next_devices = 0.0
        self._registered: dict[str, str] | None = None
        self._ender = Ender(
            leases, queue, drivers, processes, self._groups,
            kept=self.kept, forget=self._forget, look_soon=self.look_soon,
        )  # fmt: skip
        self._idle = IdleRule(leases, queue, drivers, processes, self._ender)

    def hold(
        self, lease_id: str, fence: int, holder: Process, now: float, *, asked_at: float
    ) -> None:
        """Take a lease into care that its holder was given on a request sent at ``asked_at``."""
        kept = self.kept.get(lease_id)
        if kept is None or kept.fence != fence:
            kept = self._take(Kept(id=lease_id, fence=fence, holder=holder))
            kept.deadline = max(
                asked_at + FENCE_AT * self._ttl,
                now + FIRST_ASK,
                kept.deadline if math.isfinite(kept.deadline) else 0.0,
            )

    def drop(self, lease_id: str) -> None:
        """Forget a lease that its holder released, unless it is being ended."""
        kept = self.kept.get(lease_id)
        if kept is not None and kept.ending is None:
            self._forget(kept)

    def left(
        self, lease_id: str, fence: int, known: set[Process], now: float,
        *, spared: Process | None = None,
    ) -> None:  # fmt: skip
        """End what a holder left running that released its lease and lives on.

        ``spared`` is the holder: its own context may still be open, and it is not to be killed.
        """
        before = self.kept.pop(lease_id, None)
        if before is not None and before.group is not None:
            self._groups.dissolve(before.group)
        kept = self.kept[lease_id] = Kept(
            id=lease_id, fence=fence, holder=None, known=known, spared=spared,
            devices=before.devices if before is not None else (),
        )  # fmt: skip
        self._ender.begin(
            kept, now, reason="released; what it started still ran", grace=GRACE_OF_LIVING,
            told=True,
        )  # fmt: skip
        self.look_soon()

    def look_soon(self) -> None:
        """Look into the store at the next step."""
        self._next_visit = 0.0

    def fence(self, now: float) -> None:
        """Kill the holders whose time is over; asks nobody but the clock."""
        for kept in list(self.kept.values()):
            if kept.ending is None and kept.holder is not None and now >= kept.deadline:
                log.error("lease %s was not renewed in time: its holder is killed", kept.id)
                self._ender.begin(kept, now, reason="it could not be renewed in time", hard=True)

    def step(self, now: float) -> float:
        """Do what is due and return in how many seconds to come again."""
        self._now = now
        self.fence(now)
        if self._next_visit is None:
            self._next_visit = now + 1.0
        if now >= max(self._next_visit, self._rest_until) and not self._visiting:
            self._visit(now)
        if now >= self._next_scan:
            self._next_scan = now + SCAN_EVERY
            self._scan(now)
        for kept in list(self.kept.values()):
            self._ender.step(kept, now)
            self._idle.step(kept, now)
        if self.kept and now >= self._next_devices:
            self._next_devices = now + DEVICES_EVERY
            self._drivers.submit(lambda drivers: drivers.report(), self._reported)
        return self._pause(now)

    def may_leave(self, now: float) -> bool:
        """Whether its leases need it no more: nothing of them runs, and the store is gone for long.

        What the store still shows of them the next keeper adopts, when the store is back.
        """
        if self._away_since is None or now - self._away_since < LONG_AWAY:
            return False
        known = {p for kept in self.kept.values() for p in (kept.holder, *kept.known) if p}
        return not any(self._processes.is_alive(process) for process in known)

    def holder_died(self, lease_id: str, now: float) -> None:
        """Begin to end a lease whose holder is dead."""
        kept = self.kept.get(lease_id)
        if kept is not None and kept.ending is None:
            self._ender.begin(kept, now, reason="its holder died")

    def _pause(self, now: float) -> float:
        ending = any(k.ending is not None and not k.ending.aside for k in self.kept.values())
        pause = END_EVERY if ending else SCAN_EVERY if self.kept else self._ttl / RENEWALS
        due = [k.deadline for k in self.kept.values() if k.ending is None]
        if not self._visiting and self._next_visit is not None:
            due.append(max(self._next_visit, self._rest_until))
        return max(0.01, min([pause, *(at - now for at in due)]))

    def _scan(self, now: float) -> None:
        for kept in list(self.kept.values()):
            if kept.holder is None or kept.ending is not None:
                continue
            if self._processes.is_alive(kept.holder):
                known = {p for p in kept.known if self._processes.is_alive(p)}
                kept.known = known | self._processes.started_by([kept.holder, *known])
            else:
                self.holder_died(kept.id, now)
        notes = {kept.id: kept.note() for kept in self.kept.values()}
        if not self._ender.naming.has_read:  # what is live is not known yet
            notes = {**self._recalled, **notes}
        if notes != self._noted:
            self._noted = notes
            self._notes.save(notes)

    def _visit(self, now: float) -> None:
        self._visiting = True
        self._next_visit = now + self._ttl / RENEWALS
        fences = {k.id: k.fence for k in self.kept.values() if k.ending is None}
        self._leases.submit(
            lambda leases: leases.visit(fences), partial(self._visited, now, fences)
        )

    def _visited(self, sent_at: float, fences: dict[str, int], result: Any) -> None:
        self._visiting = False
        if isinstance(result, Exception):
            self._unanswered(result)
            return
        self._away_since = None
        if self._trouble:
            log.info("the store answers again")
            self._trouble = ""
        visit: Visit = result
        self._ender.naming.read(visit.live, sent_at)
        self._registered = dict(visit.registered)
        if visit.restarted:
            self._queue.submit(lambda queue: queue.restart(), _say_if_failed)
        self._compare(visit, fences, sent_at)
        for tenure in visit.live:
            if tenure.uid == self._uid and tenure.state is not LeaseState.GRANTED:
                self._adopt(tenure)

    def _unanswered(self, error: Exception) -> None:
        if self._away_since is None:
            self._away_since = self._now
        if str(error) != self._trouble:
            self._trouble = str(error)
            log.warning("the store does not answer: %s", error)
        self._rest_until = self._now + REST
        self._next_visit = 0.0
        if isinstance(error, StoreNotFoundError):
            for kept in self.kept.values():
                kept.lost |= kept.ending is not None  # the store is gone, and so is the lease

    def _compare(self, visit: Visit, fences: dict[str, int], sent_at: float) -> None:
        """Note which of the leases in care were renewed, and which are live no more."""
        live = {(tenure.id, tenure.fence) for tenure in visit.live}
        for kept in list(self.kept.values()):
            asked = fences.get(kept.id) == kept.fence
            if asked and kept.id in visit.renewed:
                kept.deadline = sent_at + FENCE_AT * self._ttl
            if (kept.id, kept.fence) in live:
                continue
            if asked:
                self._not_live(kept, visit)
            elif kept.ending is not None and kept.ending.since < sent_at:
                kept.lost = True

    def _not_live(self, kept: Kept, visit: Visit) -> None:
        if kept.id in visit.taken:
            kept.lost = True
            reason = f"its lease was taken from it: {visit.taken[kept.id]}"
            self._ender.begin(kept, self._now, reason=reason, hard=True, told=True)
        elif kept.ending is None:
            log.info("lease %s is no longer live", kept.id)
            self._forget(kept)

    def _adopt(self, tenure: Tenure) -> None:
        kept = self.kept.get(tenure.id)
        if kept is None or kept.fence != tenure.fence:
            log.info("lease %s (%s) is in care", tenure.id, tenure.state.value)
            kept = self._take(Kept(id=tenure.id, fence=tenure.fence, holder=tenure.process))
            if math.isfinite(kept.deadline):  # an earlier keeper noted it
                kept.deadline = max(kept.deadline, self._now + FIRST_ASK)
            else:
                kept.deadline = self._now + FENCE_AT * self._ttl
            self.look_soon()  # renew it
        kept.devices = tenure.devices
        if kept.ending is not None:
            if tenure.state is LeaseState.QUARANTINED:
                kept.ending.aside = kept.ending.aside or tenure.reason
            return
        if tenure.process is None and kept.holder is not None:
            self._spare(kept)
        kept.known.update(tenure.left_behind)
        if tenure.idle_limit is not None and kept.idle is None:
            kept.idle = IdleWatch(limit=tenure.idle_limit, idle_since=self._now)
            kept.idle_looked = self._now
        if tenure.revoked or tenure.state is LeaseState.QUARANTINED:
            grace = GRACE_OF_LIVING if tenure.process is None else GRACE
            self._ender.begin(kept, self._now, reason=tenure.reason, grace=grace, told=True)
        elif kept.holder is None or not self._processes.is_alive(kept.holder):
            self._ender.begin(kept, self._now, reason="its holder died")

    def _spare(self, kept: Kept) -> None:
        """Let the holder be, which released and said what it left to the store alone."""
        if kept.holder is not None and self._processes.is_alive(kept.holder):
            kept.spared, kept.known = kept.holder, set()
            if kept.group is not None:
                self._groups.dissolve(kept.group)
                kept.group = None
        kept.holder = None

    def _take(self, kept: Kept) -> Kept:
        self.kept[kept.id] = kept
        kept.recall(self._recalled.get(kept.id, {}))
        kept.known = {p for p in kept.known if self._processes.is_alive(p)}
        if kept.holder is not None and self._processes.is_alive(kept.holder):
            kept.group = self._groups.enclose(kept.id, kept.holder) or kept.group
        return kept

    def _forget(self, kept: Kept) -> None:
        self.kept.pop(kept.id, None)
        if kept.group is not None:
            self._groups.dissolve(kept.group)

    def _reported(self, result: Any) -> None:
        """Register the devices of this host when they are not what the store shows."""
        if isinstance(result, Exception):
            log.warning("the devices of this host cannot be read: %s", result)
            return
        report: Report = result
        if report.faults:
            log.error("devices of this host report faults: %s", report.faults)
            self._queue.submit(lambda queue: queue.note_faults(report.faults), _say_if_failed)
        if self._registered is not None and report.differs(self._registered):
            log.info("the devices of this host changed")
            self._queue.submit(lambda queue: queue.register(report.devices or ()), _say_if_failed)


def _say_if_failed(result: Any) -> None:
    if isinstance(result, Exception):
        log.warning("what is with this host is not noted: %s", result)


def main() -> None:
    """Run the keeper that standard input describes; see ``adapters.keeper.start_keeper``."""
    from airflow_ai_provider.services.keeper_process import run

    run(started=time.clock_gettime(time.CLOCK_BOOTTIME), uid=os.getuid())


if __name__ == "__main__":
    main()
