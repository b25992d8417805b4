"""A lease in the keeper's care, and how far its end is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from airflow_ai_provider.core.gpu.idleness import IdleWatch
from airflow_ai_provider.core.gpu.lease import Process

REST = 1.0  # seconds before a store that did not answer is asked again
GRACE = 0.5  # seconds that what a dead holder left has to end by itself


@dataclass
class Ending:
    """The end of a lease: what was begun and when; every time is on the keeper's clock.

    A ``hard`` end kills at once: the devices may be another's already. ``aside`` is why the lease
    is quarantined, empty while it is not. ``busy`` while an answer is awaited. ``strange`` are
    the processes on its devices that nobody can name, with when each was first seen; ``asked`` are
    those of whose mark the store was asked, ``outlived`` the ones, by device, that it knew.
    """

    since: float
    reason: str
    grace: float = GRACE
    hard: bool = False
    termed_at: float | None = None
    killed_at: float | None = None
    aside: str = ""
    look_at: float = 0.0
    busy: bool = False
    lingers_since: float | None = None
    alarmed: str = ""
    signalled: set[tuple[Process, int]] = field(default_factory=set)
    strange: dict[Process, float] = field(default_factory=dict)
    asked: set[Process] = field(default_factory=set)
    outlived: set[tuple[str, Process]] = field(default_factory=set)


@dataclass
class Kept:
    """A lease in care. Past ``deadline`` its holder must not use the devices any more.

    ``known`` are processes that were seen to descend from the holder. ``spared`` is a holder that
    released and lives. A ``lost`` lease is the store's no more: its processes end, and that is all.
    """

    id: str
    fence: int
    holder: Process | None
    devices: tuple[str, ...] = ()
    deadline: float = math.inf
    known: set[Process] = field(default_factory=set)
    spared: Process | None = None
    group: str | None = None
    idle: IdleWatch | None = None
    idle_looked: float = 0.0
    cpu: dict[Process, float] = field(default_factory=dict)
    lost: bool = False
    ending: Ending | None = None

    @property
    def mark(self) -> str:
        """What the holder's programs carry in their environment."""
        return f"{self.id}:{self.fence}"

    def note(self) -> dict[str, Any]:
        """Return what the next keeper could not find in the store, as JSON."""
        return {
            "fence": self.fence,
            "deadline": self.deadline if math.isfinite(self.deadline) else None,
            "known": sorted([p.pid, p.start, p.uid] for p in self.known),
            "spared": [self.spared.pid, self.spared.start, self.spared.uid]
            if self.spared
            else None,
            "group": self.group,
        }

    def recall(self, note: dict[str, Any]) -> None:
        """Take over what an earlier keeper noted of this lease."""
        if note.get("fence") != self.fence:
            return
        self.known |= {Process(pid=p, start=s, uid=u) for p, s, u in note["known"]}
        if note["spared"] is not None and self.spared is None:
            pid, start, uid = note["spared"]
            self.spared = Process(pid=pid, start=start, uid=uid)
        self.group = self.group or note["group"]
        if note["deadline"] is not None:
            self.deadline = note["deadline"]
