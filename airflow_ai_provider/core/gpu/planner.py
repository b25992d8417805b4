"""The planner: who gets which devices now, and why the others wait.

A pure function of the devices, the live leases and the queue. Priority first, then age. A request
that does not fit does not hold back those behind it. Best fit: a share goes to the device that is
fullest and still has room, whole devices to the host that is left with fewest idle ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from airflow_ai_provider.core.gpu.devices import Device, Health
from airflow_ai_provider.core.gpu.fair_share import Quota
from airflow_ai_provider.core.gpu.planner_values import (
    DeviceKey,
    Grant,
    Holding,
    Plan,
    Queued,
    Reservation,
)
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState
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


def plan(
    devices: Sequence[Device],
    holdings: Iterable[Holding],
    queue: Iterable[Queued],
    *,
    now: float = 0.0,
    quotas: Sequence[Quota] = (),
    reserve_after: float = 600.0,
) -> Plan:
    """Decide about every request of ``queue``, best first."""
    room = _Room(devices, holdings)
    grants: list[Grant] = []
    waiting: dict[str, WaitReason] = {}
    refused: dict[str, str] = {}
    for queued in sorted(queue, key=lambda q: (-q.request.priority, q.place)):
        if why := why_impossible(queued.request, devices, host=queued.host):
            refused[queued.id] = why
        elif chosen := room.choose(queued):
            room.take(chosen, queued.request)
            grants.append(Grant(request_id=queued.id, devices=tuple(d.key for d in chosen)))
        else:
            waiting[queued.id] = room.why_not(queued)
    return Plan(grants=tuple(grants), waiting=waiting, refused=refused)


def forecast(
    devices: Sequence[Device],
    holdings: Iterable[Holding],
    queue: Iterable[Queued],
    *,
    now: float = 0.0,
    quotas: Sequence[Quota] = (),
    reserve_after: float = 600.0,
) -> dict[str, float | None]:
    """Return in how many seconds each request is expected to start; None where nobody can know."""
    queue = list(queue)
    made = plan(devices, holdings, queue, now=now, quotas=quotas, reserve_after=reserve_after)
    granted = {grant.request_id for grant in made.grants}
    return {queued.id: 0.0 if queued.id in granted else None for queued in queue}


def why_impossible(
    request: GpuRequest, devices: Iterable[Device], *, host: str | None = None
) -> str | None:
    """Return why ``request`` can never be met by the devices that are there; None when it can."""
    known = [d for d in devices if d.health is not Health.ABSENT and host in {None, d.host}]
    where = "" if host is None else f" on host {host}"
    pool = [d for d in known if d.pool == request.gpu_pool]
    if not pool:
        return f"No device is known in pool {request.gpu_pool!r}{where}."
    most = max(map(len, _by_host(d for d in pool if request.suits(d)).values()), default=0)
    if most >= request.wanted:
        return None
    if most:
        return f"The request asks for {request.describe()}; no host has more than {most}{where}."
    if request.memory_mib is not None and all(d.memory_mib is None for d in pool):
        return "The memory of no device is known, so that they can only be leased whole."
    return f"No device can serve {request.describe()}{where}."


class _Room:
    """What is free while a plan is made."""

    def __init__(self, devices: Sequence[Device], holdings: Iterable[Holding]) -> None:
        self.devices = devices
        self.whole: dict[DeviceKey, LeaseState] = {}
        self.shared: dict[DeviceKey, int] = defaultdict(int)
        self.doubtful: set[DeviceKey] = set()
        for holding in holdings:
            if holding.memory_mib is None:
                self.whole[holding.device] = holding.state
            else:
                self.shared[holding.device] += holding.memory_mib
            if holding.state in {LeaseState.SUSPECT, LeaseState.QUARANTINED}:
                self.doubtful.add(holding.device)

    def choose(self, queued: Queued) -> list[Device] | None:
        """Return the devices that fit best; None when nothing fits now."""
        request = queued.request
        free = [
            d
            for d in self.devices
            if d.health is Health.HEALTHY
            and self._may_use(queued, d)
            and self._has_room(request, d)
        ]
        hosts = {h: ds for h, ds in _by_host(free).items() if len(ds) >= request.wanted}
        if not hosts:
            return None
        if request.memory_mib is not None:
            return [min(free, key=self._room_left)]
        # fewest idle left over, then the least memory that will do
        fullest = min(hosts, key=lambda h: (len(hosts[h]), h))
        return sorted(hosts[fullest], key=lambda d: (d.memory_mib or 0, d.uuid))[: request.wanted]

    def take(self, devices: Iterable[Device], request: GpuRequest) -> None:
        """Count ``devices`` as given to ``request``."""
        for device in devices:
            if request.memory_mib is None:
                self.whole[device.key] = LeaseState.GRANTED
            else:
                self.shared[device.key] += request.memory_mib

    def why_not(self, queued: Queued) -> WaitReason:
        """Return what would have to change first for a request that does not fit now."""
        usable = [d for d in self.devices if self._may_use(queued, d)]
        healthy = [d for d in usable if d.health is Health.HEALTHY]
        if self._enough(queued, healthy):
            certain = [d for d in healthy if d.key not in self.doubtful]
            return (
                WaitReason.DEVICES_BUSY
                if self._enough(queued, certain)
                else WaitReason.DEVICES_SUSPECT
            )
        return WaitReason.DEVICES_UNHEALTHY

    def _may_use(self, queued: Queued, device: Device) -> bool:
        return queued.host in {None, device.host} and queued.request.suits(device)

    def _has_room(self, request: GpuRequest, device: Device) -> bool:
        if device.key in self.whole:
            return False
        if request.memory_mib is None:
            return not self.shared.get(device.key)
        if device.key in self.doubtful:
            return False  # what a lost holder uses of it is not known
        return self.shared.get(device.key, 0) + request.memory_mib <= (device.memory_mib or 0)

    def _room_left(self, device: Device) -> tuple[int, str, str]:
        free = (device.memory_mib or 0) - self.shared.get(device.key, 0)
        return (free, device.host, device.uuid)

    @staticmethod
    def _enough(queued: Queued, devices: Iterable[Device]) -> bool:
        return any(len(ds) >= queued.request.wanted for ds in _by_host(devices).values())


def _by_host(devices: Iterable[Device]) -> dict[str, list[Device]]:
    hosts: dict[str, list[Device]] = defaultdict(list)
    for device in devices:
        hosts[device.host].append(device)
    return hosts
