"""A DAG run on a few slots, as Airflow's scheduler fills them: the highest weight first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The tasks of a DAG as numbers, each after those that it waits for."""

    name: str
    family: str
    waits_for: tuple[tuple[int, ...], ...]

    @property
    def followers(self) -> list[list[int]]:
        """Which tasks follow each task."""
        found: list[list[int]] = [[] for _ in self.waits_for]
        for task, before in enumerate(self.waits_for):
            for other in before:
                found[other].append(task)
        return found


Rule = Callable[[Shape, Sequence[float]], Sequence[int]]


def makespan(
    shape: Shape,
    seconds: Sequence[float],
    weights: Sequence[int],
    slots: int,
    ties: Sequence[float],
) -> float:
    """Return when the last task ends.

    ``ties`` says who goes first of two with the same weight: between tasks of one run Airflow's
    query names no order.
    """
    followers, waits = shape.followers, [len(before) for before in shape.waits_for]
    ready = [(-weights[t], ties[t], t) for t, count in enumerate(waits) if not count]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < slots:
            task = heapq.heappop(ready)[2]
            heapq.heappush(running, (now + seconds[task], task))
        now, ended = heapq.heappop(running)
        for follower in followers[ended]:
            waits[follower] -= 1
            if not waits[follower]:
                heapq.heappush(ready, (-weights[follower], ties[follower], follower))
    return now


def bound(shape: Shape, seconds: Sequence[float], slots: int) -> float:
    """Return what no schedule can beat: the longest path, and the work over the slots."""
    longest: list[float] = []
    for task, before in enumerate(shape.waits_for):
        longest.append(seconds[task] + max((longest[b] for b in before), default=0.0))
    return max(*longest, sum(seconds) / slots)


def absolute(shape: Shape, _: Sequence[float]) -> list[int]:
    """Airflow's rule ``absolute``: every task's own weight, 1."""
    return [1] * len(shape.waits_for)


def downstream(shape: Shape, _: Sequence[float]) -> list[int]:
    """Airflow's rule ``downstream``: 1 and 1 for each task after it, near or far."""
    reach: dict[int, set[int]] = {}
    followers = shape.followers
    for task in reversed(range(len(followers))):
        reach[task] = {r for f in followers[task] for r in (f, *reach[f])}
    return [1 + len(reach[task]) for task in range(len(followers))]


def upstream(shape: Shape, _: Sequence[float]) -> list[int]:
    """Airflow's rule ``upstream``: 1 and 1 for each task before it."""
    reach: list[set[int]] = []
    for before in shape.waits_for:
        reach.append({r for b in before for r in (b, *reach[b])})
    return [1 + len(found) for found in reach]


AIRFLOW: dict[str, Rule] = {"absolute": absolute, "downstream": downstream, "upstream": upstream}
