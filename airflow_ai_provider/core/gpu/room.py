"""What is free of each device while a plan is made, indexed so that a request is one look-up.

Devices that are alike make a *spec*; the specs that suit a request make a *view*, which counts the
idle devices of each host. A view is made once, and kept up as devices are taken and come free.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Any

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Health
from airflow_ai_provider.core.gpu.links import Matrix, best_set, link_matrix
from airflow_ai_provider.core.gpu.planner_values import DeviceKey
from airflow_ai_provider.core.gpu.request import GpuRequest

Shared = tuple[int, str, str, "Slot"]  # the room left on a device that others share; sorts

_CARD_SLICES = 7  # a card has at most seven compute slices; "3g.40gb" has three
_SLICES = re.compile(r"(\d+)g\.")


class Status(Enum):
    """What may still be had of a device."""

    CLOSED = "closed"
    IDLE = "idle"
    SHARED = "shared"  # somebody has a share of it, and there is room for another


@dataclass(slots=True, eq=False)
class Part:
    """What somebody has of a device: ``memory_mib``, or all of it; until ``ends``, if known."""

    memory_mib: int | None
    ends: float
    doubtful: bool = False
    owner: Any = None  # the claims that it is counted to


class Slot:
    """A device and what is held of it."""

    __slots__ = (
        "device",
        "healthy",
        "hold",
        "host",
        "key",
        "memory",
        "name",
        "parts",
        "shared",
        "spec",
        "status",
    )

    def __init__(self, device: Device, host: HostRoom, spec: Spec) -> None:
        self.device = device
        self.host = host
        self.spec = spec
        self.name = device.uuid
        self.key: DeviceKey = (device.host, device.uuid)
        self.memory = device.memory_mib or 0
        self.parts: list[Part] = []
        self.hold: Any = None  # the Hold that keeps it for somebody
        self.healthy = device.health is Health.HEALTHY  # whether it may be granted at all
        self.status = Status.IDLE if self.healthy else Status.CLOSED
        self.shared: Shared | None = None  # its entry among the shared devices of its spec

    @property
    def left(self) -> int:
        """The memory that nobody holds."""
        return self.memory - sum(part.memory_mib or 0 for part in self.parts)

    def amount(self, memory_mib: int | None) -> float:
        """Return how many devices ``memory_mib`` of it, or all of it, counts for."""
        if memory_mib is None:
            return self.spec.weight
        return memory_mib / self.memory if self.memory else 1.0

    def has_room(self, memory_mib: int | None) -> bool:
        """Whether ``memory_mib``, or all of it, could be had now but for a hold."""
        if not self.healthy:
            return False
        if memory_mib is None or not self.parts:
            return not self.parts
        # what a lost holder uses of a device is not known
        if any(part.memory_mib is None or part.doubtful for part in self.parts):
            return False
        return self.left >= memory_mib

    def free_at(self, memory_mib: int | None) -> float:
        """Return when ``memory_mib``, or all of it, can be had by the estimates; inf for never."""
        if not self.parts:
            return 0.0
        if memory_mib is None:
            return max([part.ends for part in self.parts])
        when = 0.0
        left = self.left if all(p.memory_mib is not None for p in self.parts) else 0
        if any(part.doubtful for part in self.parts):
            return inf
        for part in sorted(self.parts, key=lambda part: part.ends):
            if left >= memory_mib:
                break
            when = part.ends
            left += self.memory if part.memory_mib is None else part.memory_mib
        return when


class HostRoom:
    """The devices of a host."""

    __slots__ = ("_matrix", "_matrix_known", "_roomy", "idle", "name", "slots", "specs")

    def __init__(self, name: str) -> None:
        self.name = name
        self.slots: list[Slot] = []
        self.specs: set[int] = set()
        self.idle: dict[int, int] = {}  # by spec
        self._roomy: list[Slot] | None = None
        self._matrix: Matrix | None = None
        self._matrix_known = False

    def changed(self) -> None:
        """Forget what was free."""
        self._roomy = None

    def roomy(self) -> list[Slot]:
        """Return the devices of which something is free, kept for somebody or not."""
        if self._roomy is None:
            self._roomy = [slot for slot in self.slots if slot.has_room(1)]
        return self._roomy

    def pick(self, candidates: list[Slot], count: int) -> list[Slot]:
        """Return the ``count`` of ``candidates`` that belong together best."""
        if len(candidates) == count:
            return candidates
        if not self._matrix_known:
            self._matrix = link_matrix([slot.device for slot in self.slots])
            self._matrix_known = True
        if self._matrix is not None:
            place = {id(slot): number for number, slot in enumerate(self.slots)}
            free = tuple(sorted(place[id(slot)] for slot in candidates))
            return [self.slots[number] for number in best_set(self._matrix, free, count)]
        if candidates[0].device.kind is DeviceKind.MIG:
            cards = [slot.device.parent_uuid for slot in candidates]
            # the fullest card first, so that others come free whole
            candidates.sort(key=lambda slot: (cards.count(slot.device.parent_uuid), slot.name))
        else:
            candidates.sort(key=lambda slot: (slot.memory, slot.name))
        return candidates[:count]


class Spec:
    """Devices that are alike: what suits one of them suits all."""

    __slots__ = ("memory", "number", "sample", "shared", "views", "weight")

    def __init__(self, number: int, sample: Device) -> None:
        self.number = number
        self.sample = sample
        self.memory = sample.memory_mib or 0
        self.weight = _weight(sample)
        self.views: list[View] = []
        self.shared: list[Shared] = []  # room left first


class View:
    """The specs that suit a request, and how many idle devices of them each host has."""

    def __init__(self, specs: Sequence[Spec], hosts: Iterable[HostRoom]) -> None:
        self.specs = tuple(sorted(specs, key=lambda s: (s.memory, s.number)))
        self.numbers = frozenset(spec.number for spec in specs)
        self.most_memory = max((spec.memory for spec in specs), default=0)
        self.idle: dict[str, int] = {}
        self.hosts_with: list[set[str]] = [set()]
        self.standing: dict[str | None, Any] = {}  # counts that no grant changes; see suitable
        self.hosts: set[str] = set()
        for host in hosts:
            if self.numbers & host.specs:
                self.hosts.add(host.name)
            if count := sum(host.idle.get(number, 0) for number in self.numbers):
                self.idle[host.name] = count
                self._bucket(count).add(host.name)

    def change(self, host: str, by: int) -> None:
        """Count ``by`` more idle devices on ``host``."""
        before = self.idle.get(host, 0)
        if before:
            self.hosts_with[before].discard(host)
        self.idle[host] = before + by
        if before + by:
            self._bucket(before + by).add(host)

    def tightest(self, count: int) -> str | None:
        """Return the host with the fewest idle devices of those that have ``count``."""
        for hosts in self.hosts_with[count:]:
            if hosts:
                return min(hosts)
        return None

    def _bucket(self, count: int) -> set[str]:
        while len(self.hosts_with) <= count:
            self.hosts_with.append(set())
        return self.hosts_with[count]


class Room:
    """Every device with what is held of it; times are seconds from now."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self.hosts: dict[str, HostRoom] = {}
        self.slots: dict[DeviceKey, Slot] = {}
        self.specs: dict[Any, Spec] = {}
        self._views: dict[frozenset[int], View] = {}
        self._by_shape: dict[Any, View] = {}
        for device in devices:
            self._add(device)

    def _add(self, device: Device) -> None:
        host = self.hosts.get(device.host)
        if host is None:
            host = self.hosts[device.host] = HostRoom(device.host)
        alike = (
            device.pool,
            device.model,
            device.memory_mib,
            device.mig_profile,
            device.kind is DeviceKind.MIG,
        )
        spec = self.specs.get(alike)
        if spec is None:
            spec = self.specs[alike] = Spec(len(self.specs), device)
        slot = Slot(device, host, spec)
        host.slots.append(slot)
        host.specs.add(spec.number)
        self.slots[slot.key] = slot
        if slot.healthy:
            host.idle[spec.number] = host.idle.get(spec.number, 0) + 1

    def view_of(self, request: GpuRequest) -> View:
        """Return the devices that suit ``request``, healthy and free or not."""
        shape = (
            request.gpu_pool,
            request.gpu_model,
            request.mig_profile,
            request.memory_mib,
        )
        view = self._by_shape.get(shape)
        if view is None:
            suits = [spec for spec in self.specs.values() if request.suits(spec.sample)]
            view = self._by_shape[shape] = self.view(suits)
        return view

    def view(self, specs: Sequence[Spec]) -> View:
        """Return the view of these specs."""
        numbers = frozenset(spec.number for spec in specs)
        view = self._views.get(numbers)
        if view is None:
            view = self._views[numbers] = View(specs, self.hosts.values())
            for spec in specs:
                spec.views.append(view)
        return view

    def find(self, request: GpuRequest, view: View, host: str | None) -> list[Slot] | None:
        """Return the devices that nobody holds or is kept and that fit best; None for none."""
        if request.memory_mib is not None:
            slot = self._find_share(request.memory_mib, view, host)
            return None if slot is None else [slot]
        wanted = request.wanted
        if host is None:
            host = view.tightest(wanted)
        elif view.idle.get(host, 0) < wanted:
            return None
        if host is None:
            return None
        room = self.hosts[host]
        numbers = view.numbers
        idle = [s for s in room.slots if s.status is Status.IDLE and s.spec.number in numbers]
        return room.pick(idle, wanted)

    def _find_share(self, memory_mib: int, view: View, host: str | None) -> Slot | None:
        """Return the fullest device with room, else an idle one as if it were asked for whole."""
        best: Shared | None = None
        for spec in view.specs:
            at = bisect_left(spec.shared, memory_mib, key=lambda entry: entry[0])
            while host is not None and at < len(spec.shared) and spec.shared[at][1] != host:
                at += 1
            if at < len(spec.shared) and (best is None or spec.shared[at][:3] < best[:3]):
                best = spec.shared[at]
        if best is not None:
            return best[3]
        for spec in view.specs:
            alone = self.view([spec])
            on = alone.tightest(1) if host is None else host
            if on is not None and alone.idle.get(on, 0):
                room = self.hosts[on]
                idle = [s for s in room.slots if s.status is Status.IDLE and s.spec is spec]
                return room.pick(idle, 1)[0]
        return None

    def take(self, slot: Slot, part: Part) -> None:
        """Count ``part`` of ``slot`` as given."""
        slot.parts.append(part)
        self.settle(slot)

    def give_back(self, slot: Slot, part: Part) -> None:
        """Count ``part`` of ``slot`` as free again."""
        slot.parts.remove(part)
        self.settle(slot)

    def settle(self, slot: Slot) -> None:
        """Bring the index up to date with what is held of ``slot``."""
        slot.host.changed()
        before, slot.status = slot.status, _status(slot)
        if slot.shared is not None:
            shared = slot.spec.shared
            del shared[bisect_left(shared, slot.shared)]
            slot.shared = None
        if slot.status is Status.SHARED:
            slot.shared = (slot.left, slot.host.name, slot.name, slot)
            insort(slot.spec.shared, slot.shared)
        by = (slot.status is Status.IDLE) - (before is Status.IDLE)
        if by:
            number = slot.spec.number
            slot.host.idle[number] = slot.host.idle.get(number, 0) + by
            for view in slot.spec.views:
                view.change(slot.host.name, by)


def _status(slot: Slot) -> Status:
    if not slot.healthy or slot.hold is not None:
        return Status.CLOSED
    if not slot.parts:
        return Status.IDLE
    return Status.SHARED if slot.has_room(1) else Status.CLOSED


def _weight(device: Device) -> float:
    """Return how much of a card ``device`` is."""
    if device.kind is not DeviceKind.MIG:
        return 1.0
    found = _SLICES.match(device.mig_profile or "")
    return min(1.0, int(found.group(1)) / _CARD_SLICES) if found else 1.0
