"""The critical path method (Kelley and Walker, 1959): when what can begin, and what may wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_ai_provider.core.lifecycle.remaining import in_order

EDGE = 1e-6  # days; slack below it is rounding


@dataclass(frozen=True, kw_only=True)
class Work:
    """A piece of work: how long it takes, what it waits for, and the earliest it may begin.

    ``fixed`` is where it lies when that is known: its begin and its end.
    """

    length: float
    after: Sequence[str] = ()
    not_before: float = 0.0
    fixed: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where a piece of work lies, and how long it may be delayed before the end is."""

    start: float
    finish: float
    slack: float

    @property
    def critical(self) -> bool:
        """Whether any delay of it delays the end."""
        return self.slack <= EDGE


def schedule(works: Mapping[str, Work]) -> dict[str, Placed]:
    """Return where each piece of work lies when each begins as early as it can.

    What is fixed stays and has the slack of what follows it.

    :raises LifecycleError: the works wait for one another.
    """
    ordered = ordered_works({name: work.after for name, work in works.items()})
    begin: dict[str, float] = {}
    end: dict[str, float] = {}
    for name in ordered:
        work = works[name]
        if work.fixed:
            begin[name], end[name] = work.fixed
        else:
            begin[name] = max((end[a] for a in work.after if a in end), default=0.0)
            begin[name] = max(begin[name], work.not_before)
            end[name] = begin[name] + work.length
    last = max(end.values(), default=0.0)
    latest = dict.fromkeys(works, last)
    for name in reversed(ordered):
        work = works[name]
        # what lies fixed does not move with what it came after
        starts = latest[name] - (end[name] - begin[name])
        for before in work.after:
            if before in latest and not work.fixed:
                latest[before] = min(latest[before], starts)
    return {
        name: Placed(start=begin[name], finish=end[name], slack=max(latest[name] - end[name], 0.0))
        for name in works
    }


def ordered_works(after: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names so that each comes after what it waits for; unknown ones are left out.

    :raises LifecycleError: they wait for one another.
    """
    followers: dict[str, list[str]] = {name: [] for name in after}
    for name, before in after.items():
        for other in before:
            if other in followers:
                followers[other].append(name)
    return in_order(followers)


def chain(works: Mapping[str, Work], placed: Mapping[str, Placed]) -> list[str]:
    """Return one critical path: the chain of works that makes the end as late as it is."""
    if not placed:
        return []
    name: str | None = max(placed, key=lambda n: (placed[n].finish, n))
    found: list[str] = []
    while name is not None:
        found.append(name)
        begin = placed[name].start
        touching = [
            a for a in works[name].after if a in placed and placed[a].finish >= begin - EDGE
        ]
        name = max(touching, key=lambda n: (placed[n].finish, n)) if touching else None
    return found[::-1]
