"""The order in which requests are looked at: priority, whose turn it is, age."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

from airflow_ai_provider.core.gpu.planner_values import Queued
from airflow_ai_provider.core.gpu.room import View
from airflow_ai_provider.core.gpu.shares import Claims


@dataclass(slots=True, eq=False)
class Asking:
    """A request while a plan is made: ``amount`` in devices, the least that it can be."""

    queued: Queued
    view: View
    claims: Claims
    amount: float
    priority: int
    wanted: int
    decided: bool = False
    promised: bool = False  # devices are kept for it under its guarantee

    @property
    def entitled(self) -> bool:
        """Whether guarantees cover it."""
        return self.promised or (bool(self.claims.guarantees) and self.claims.entitled(self.amount))

    @property
    def holds_for(self) -> float:
        """How many seconds it will hold; infinity where nobody knows."""
        known = self.queued.estimate
        if known is None:
            known = self.queued.request.estimate
        return inf if known is None else known


def by_age(asking: Asking) -> tuple[int, int, str]:
    """Sort by priority, then age."""
    return (-asking.priority, asking.queued.place, asking.queued.id)


def in_turn(queue: Iterable[Asking]) -> Iterator[Asking]:
    """Yield each request when it is its turn; what is granted meanwhile changes the turns.

    A grant only ever moves an account back, so that the first of a heap whose key still holds is
    the first of all.
    """
    groups: dict[Any, list[Asking]] = {}
    for asking in sorted(queue, key=by_age):
        groups.setdefault(asking.claims.turn, []).append(asking)
    if len(groups) == 1:
        yield from next(iter(groups.values()))
        return
    heap: list[tuple[Any, int, list[Asking]]] = []
    for group in groups.values():
        group.reverse()
        heap.append((_key(group[-1]), len(heap), group))
    heapq.heapify(heap)
    while heap:
        key, number, group = heap[0]
        current = _key(group[-1])
        if current != key:
            heapq.heapreplace(heap, (current, number, group))
            continue
        yield group.pop()
        if group:
            heapq.heapreplace(heap, (_key(group[-1]), number, group))
        else:
            heapq.heappop(heap)


def _key(asking: Asking) -> tuple[Any, ...]:
    return (
        -asking.priority,
        not asking.entitled,
        asking.claims.standing(),
        asking.queued.place,
    )
