"""A device while a plan is made: what is held of it, how much of it is left, and until when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Any

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Health
from airflow_ai_provider.core.gpu.links import Matrix, best_set, link_matrix
from airflow_ai_provider.core.gpu.planner_values import DeviceKey

Shared = tuple[int, str, str, "Slot"]  # the room left on a device that others share; sorts

_CARD_SLICES = 7  # a card has at most seven; "3g.40gb" has three of them, "1c.3g.40gb" one
_SLICES = re.compile(r"((?P<c>\d+)c\.)?(?P<g>\d+)g\.")


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
        self.memory = device.shareable_mib or 0
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

    __slots__ = (
        "_matrix", "_matrix_known", "_roomy", "idle", "is_coming", "name", "slots", "specs",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_coming = False  # an autoscaler has yet to make it
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

    __slots__ = ("memory", "number", "sample", "shared", "weight")

    def __init__(self, number: int, sample: Device) -> None:
        self.number = number
        self.sample = sample
        self.memory = sample.shareable_mib or 0
        self.weight = _weight(sample)
        self.shared: list[Shared] = []  # room left first


def status_of(slot: Slot) -> Status:
    """Return what may still be had of ``slot``."""
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
    return min(1.0, int(found["c"] or found["g"]) / _CARD_SLICES) if found else 1.0
