"""When each request of the queue is expected to start: the planner itself, run ahead of time."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from itertools import count
from math import inf
from typing import Any

from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.gpu.fair_share import Quota
from airflow_ai_provider.core.gpu.planner_values import Holding, Queued
from airflow_ai_provider.core.gpu.planning import hold_leased, plan_pools
from airflow_ai_provider.core.gpu.room import Room
from airflow_ai_provider.core.gpu.shares import Shares
from airflow_ai_provider.core.gpu.slots import Part, Slot

_FIRST = 200  # of the queue: what comes after them nobody can foresee
_MOST_WORK = 20_000  # requests looked at, over all steps: about a quarter of a second


def forecast(
    devices: Sequence[Device],
    holdings: Iterable[Holding],
    queue: Iterable[Queued],
    *,
    now: float = 0.0,
    quotas: Sequence[Quota] = (),
    reserve_after: float = 600.0,
) -> dict[str, float | None]:
    """Return in how many seconds each request is expected to start; None where nobody can know.

    Every lease is taken to end when its estimate says and every request to hold as long as its own
    says. A lease without an estimate, or past it, is not known to end at all, and who needs its
    devices has no expected start. Only the first 200 requests are looked at.
    """
    room, shares = Room(devices), Shares(quotas)
    for holding in holdings:
        known = holding.ends_in is not None and holding.ends_in > 0
        hold_leased(room, shares, holding, ends=now + (holding.ends_in or 0) if known else inf)
    ordered = sorted(queue, key=lambda q: (-q.request.priority, q.place))
    starts: dict[str, float | None] = {queued.id: None for queued in ordered}
    waiting = ordered[:_FIRST]
    ends = _Ends((slot, part) for slot in room.slots.values() for part in slot.parts)
    at, work = now, 0
    while waiting and work <= _MOST_WORK:
        work += len(waiting)
        made, given = plan_pools(
            room, shares, waiting, reserve_after=reserve_after, now=at, late=at - now
        )
        for grant in made.grants:
            starts[grant.request_id] = at - now
        ends.add(given)
        waiting = [queued for queued in waiting if queued.id in made.waiting]
        following = ends.pop()
        if following is None:
            break
        at, ended = following
        for slot, part in ended:
            room.give_back(slot, part)
            part.owner.pay(-slot.amount(part.memory_mib))
    return starts


class _Ends:
    """The known ends of leases, soonest first."""

    def __init__(self, parts: Iterable[tuple[Slot, Part]]) -> None:
        self._heap: list[Any] = []
        self._number = count()
        self.add(parts)

    def add(self, parts: Iterable[tuple[Slot, Part]]) -> None:
        for slot, part in parts:
            if part.ends < inf:
                heapq.heappush(self._heap, (part.ends, next(self._number), slot, part))

    def pop(self) -> tuple[float, list[tuple[Slot, Part]]] | None:
        """Return the next end and all that ends then; None when no other is known."""
        if not self._heap:
            return None
        at = self._heap[0][0]
        ended = []
        while self._heap and self._heap[0][0] <= at:
            _, _, slot, part = heapq.heappop(self._heap)
            ended.append((slot, part))
        return at, ended
