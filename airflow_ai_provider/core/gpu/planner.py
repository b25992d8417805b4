"""The planner: who gets which devices now, and why the others wait.

A pure function of the devices, the live leases, the quotas and the queue.

1. Priority goes first.
2. Within a priority, whose turn it is: see ``shares``. Then age.
3. A request that does not fit does not hold back those behind it, until it has waited
   ``reserve_after`` seconds: the oldest of the highest priority then has devices kept for it, and
   who came ``reserve_after`` later or more may only fill in around it (see ``reservation``). There
   is at most one such for each host, and none for who is at the ceiling of a quota.
4. Best fit: a share goes to the fullest device that still has room, whole devices to the host that
   is left with fewest idle ones, and there to cards that are neighbours (see ``links``).
5. Requests of one gang are served together or not at all: see ``gangs``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.gpu.fair_share import Quota
from airflow_ai_provider.core.gpu.forecasting import forecast
from airflow_ai_provider.core.gpu.gangs import plan_gangs
from airflow_ai_provider.core.gpu.planner_values import (
    DeviceKey,
    Grant,
    Holding,
    Plan,
    Queued,
    Reservation,
)
from airflow_ai_provider.core.gpu.planning import hold_leased, plan_pools
from airflow_ai_provider.core.gpu.room import Room
from airflow_ai_provider.core.gpu.shares import Shares
from airflow_ai_provider.core.gpu.suitable import why_impossible
from airflow_ai_provider.core.gpu.wait_reasons import WaitReason, sentence

__all__ = [
    "DeviceKey",
    "Grant",
    "Holding",
    "Plan",
    "Queued",
    "Quota",
    "Reservation",
    "WaitReason",
    "forecast",
    "plan",
    "sentence",
    "why_impossible",
]

_OVERDUE = 60.0  # the least that a lease past its estimate is expected to go on


def plan(
    devices: Sequence[Device],
    holdings: Iterable[Holding],
    queue: Iterable[Queued],
    *,
    now: float = 0.0,
    quotas: Sequence[Quota] = (),
    reserve_after: float = 600.0,
) -> Plan:
    """Decide about every request of ``queue``, best first.

    ``now`` is the moment at which queue and leases were read; their times are seconds from it.
    """
    holdings = list(holdings)

    def once(asking: list[Queued]) -> Plan:
        room, shares = Room(devices), Shares(quotas)
        for holding in holdings:
            ends = _expected_end(holding.ends_in)
            hold_leased(room, shares, holding, ends=inf if ends is None else now + ends)
        return plan_pools(room, shares, asking, reserve_after=reserve_after, now=now)[0]

    return plan_gangs(once, queue, devices, reserve_after=reserve_after)


def _expected_end(ends_in: float | None) -> float | None:
    """Return in how many seconds a lease ends; one that is overdue goes on as long again."""
    if ends_in is None or ends_in > 0:
        return ends_in
    return max(_OVERDUE, -ends_in)
