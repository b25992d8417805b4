"""What is free of each device while a plan is made, indexed so that a request is one look-up.

Devices that are alike make a *spec*; the specs that suit a request make a *view*, which counts the
idle devices of each host. A view is made once, and kept up as devices are taken and come free.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Any

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind
from airflow_ai_provider.core.gpu.planner_values import DeviceKey
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.slots import HostRoom, Part, Shared, Slot, Spec, Status, status_of


class View:
    """The specs that suit a request, and how many idle devices of them each host has."""

    def __init__(self, specs: Sequence[Spec], hosts: Iterable[HostRoom]) -> None:
        self.specs = tuple(sorted(specs, key=lambda s: (s.memory, s.number)))
        self.numbers = frozenset(spec.number for spec in specs)
        memory = {spec.number: spec.memory for spec in specs}
        self.most_memory: dict[str | None, int] = {None: max(memory.values(), default=0)}  # by host
        self.idle: dict[str, int] = {}
        self.hosts_with: list[set[str]] = [set()]
        self.standing: dict[str | None, Any] = {}  # counts that no grant changes; see suitable
        self.hosts: set[str] = set()
        self._coming: set[str] = set()  # hosts that are yet to come: the last to be taken
        for host in hosts:
            if host.is_coming:
                self._coming.add(host.name)
            if common := self.numbers & host.specs:
                self.hosts.add(host.name)
                self.most_memory[host.name] = max([memory[number] for number in common])
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
        """Return the host with the fewest idle devices of those that have ``count``.

        One that is yet to come is the last choice.
        """
        for hosts in self.hosts_with[count:]:
            there = hosts - self._coming if self._coming else hosts
            if there:
                return min(there)
        return next((min(hosts) for hosts in self.hosts_with[count:] if hosts), None)

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
        self._views_with: dict[int, list[View]] = {}  # by the number of a spec
        self._by_shape: dict[Any, View] = {}
        for device in devices:
            self._add(device)

    def _add(self, device: Device) -> None:
        host = self.hosts.get(device.host)
        if host is None:
            host = self.hosts[device.host] = HostRoom(device.host)
            host.is_coming = device.node is not None and bool(device.node.group)
        alike = (
            device.pool,
            device.model,
            device.memory_mib,
            device.reserved_mib,
            device.mig_profile,
            device.kind is DeviceKind.MIG,
            device.node,
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
            request.placement,
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
                self._views_with.setdefault(spec.number, []).append(view)
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
        before, slot.status = slot.status, status_of(slot)
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
            for view in self._views_with.get(number, ()):
                view.change(slot.host.name, by)
