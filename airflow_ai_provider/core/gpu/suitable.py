"""Whether enough devices suit a request at all, and what stands in the way of those that do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from airflow_ai_provider.core.gpu.devices import Device, Health
from airflow_ai_provider.core.gpu.fair_share import Quota
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.room import Room, View
from airflow_ai_provider.core.gpu.shares import SLACK, Claims, Shares
from airflow_ai_provider.core.gpu.slots import Slot
from airflow_ai_provider.core.gpu.wait_reasons import WaitReason


class Suitable(NamedTuple):
    """How many devices of one host suit a request: each count includes those before it."""

    certain: int = 0  # healthy, and no lease on them is in doubt
    healthy: int = 0
    drained: int = 0
    quarantined: int = 0
    known: int = 0


_FIRST_COUNT = {
    Health.OCCUPIED: 0,  # busy like any other, but by whom nobody asked us
    Health.HEALTHY: 1,
    Health.DRAINED: 2,
    Health.QUARANTINED: 3,
    Health.UNHEALTHY: 4,
}


def suitable(room: Room, view: View, host: str | None) -> Suitable:
    """Return the counts of ``host``; without one, the highest of any host."""
    if not view.standing:
        view.standing.update(_count(room, view))
    counts: Suitable = view.standing.get(host, _NONE)
    return counts


def _count(room: Room, view: View) -> dict[str | None, Suitable]:
    counts: dict[str | None, list[int]] = {None: [0] * 5}
    for host in room.hosts.values():
        mine = [0] * 5
        for slot in host.slots:
            if slot.spec.number in view.numbers and slot.device.health is not Health.ABSENT:
                for place in range(_first_count(slot), 5):
                    mine[place] += 1
        if mine[-1]:
            counts[host.name] = mine
            counts[None] = [max(pair) for pair in zip(counts[None], mine, strict=True)]
    return {name: Suitable(*numbers) for name, numbers in counts.items()}


def _first_count(slot: Slot) -> int:
    if slot.healthy and not any(part.doubtful for part in slot.parts):
        return 0
    return _FIRST_COUNT[slot.device.health]


_NONE = Suitable()


def why_waiting(room: Room, view: View, request: GpuRequest, host: str | None) -> WaitReason:
    """Return what would have to change first for a request that does not fit now."""
    there, wanted = suitable(room, view, host), request.wanted
    if there.certain >= wanted:
        return WaitReason.DEVICES_BUSY
    if there.healthy >= wanted:
        return WaitReason.DEVICES_SUSPECT
    if there.drained >= wanted:
        return WaitReason.DEVICES_DRAINED
    if there.quarantined >= wanted:
        return WaitReason.DEVICES_QUARANTINED
    return WaitReason.DEVICES_UNHEALTHY


def least_amount(request: GpuRequest, view: View, host: str | None) -> float:
    """Return how many devices ``request`` counts for at the least: on ``host``, if it is bound.

    A share is its part of the largest device.
    """
    if request.memory_mib is not None:
        most = view.most_memory.get(host, 0)
        return request.memory_mib / most if most else 0.0
    weight = view.specs[0].weight if view.specs else 1.0
    return request.wanted * weight


def why_impossible(
    request: GpuRequest,
    devices: Iterable[Device],
    *,
    host: str | None = None,
    quotas: Sequence[Quota] = (),
) -> str | None:
    """Return why ``request`` can never be met by what is there; None when it can."""
    room = Room(devices)
    view = room.view_of(request)
    if why := why_none_suits(room, view, request, host):
        return why
    claims = Shares(quotas).claims(request.gpu_pool, request.team, request.project, request.phase)
    return over_ceiling(claims, request, least_amount(request, view, host))


def why_none_suits(room: Room, view: View, request: GpuRequest, host: str | None) -> str | None:
    """Return why no host has enough devices for ``request``; None when one does."""
    most = suitable(room, view, host).known
    if most >= request.wanted:
        return None
    where = "" if host is None else f" on host {host}"
    if most:
        return f"The request asks for {request.describe()}; no host has more than {most}{where}."
    pool = [
        slot.device
        for slot in room.slots.values()
        if slot.device.pool == request.gpu_pool
        and slot.device.health is not Health.ABSENT
        and host in {None, slot.device.host}
    ]
    if not pool:
        return f"No device is known in pool {request.gpu_pool!r}{where}."
    if request.memory_mib is not None and all(d.memory_mib is None for d in pool):
        return "The memory of no device is known, so that they can only be leased whole."
    if request.mig_profile is not None:
        profiles = Counter(d.mig_profile for d in pool if d.mig_profile)
        there = ", ".join(sorted(profiles)) or "none"
        return f"No device has the profile {request.mig_profile!r}{where}; there is {there}."
    return f"No device can serve {request.describe()}{where}."


def over_ceiling(claims: Claims, request: GpuRequest, amount: float) -> str | None:
    """Return why no quota will ever let ``request`` pass; None when they all may."""
    lowest = claims.lowest_ceiling
    if lowest is None or amount <= lowest.ceiling + SLACK:
        return None
    return (
        f"The request asks for {request.describe()}; the quota of {lowest.kind} {lowest.name!r} "
        f"has the ceiling {lowest.ceiling:g}."
    )
