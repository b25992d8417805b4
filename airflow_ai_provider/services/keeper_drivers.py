"""The devices of the keeper's host, and who is on them."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind
from airflow_ai_provider.core.gpu.probe import DeviceProbe, NoProbe, Occupants
from airflow_ai_provider.services.settings import GpuSettings

_INVENTORY = "airflow_ai_provider.services.gpu_inventory"


class HostDrivers:
    """The port ``services.keeper_ports.Drivers`` on the inventory of this host."""

    def __init__(self, host_name: str, static_devices: str) -> None:
        self._host_name = host_name
        self._static = static_devices
        self._inventory: Any = None
        self._made_for: str | None = None

    def declare(self, static_devices: str) -> None:
        """Note what the newest holder's process was told of static devices."""
        self._static = static_devices

    def devices(self) -> tuple[Device, ...] | None:
        """Return this host's devices; None while no driver reports any: nothing can change."""
        inventory = self._current()
        found = None if inventory is None else inventory.devices()
        if found is None or all(device.kind is DeviceKind.STATIC for device in found):
            return None
        return tuple(found)

    def occupants(self, uuid: str) -> Occupants:
        """Return who is on the device, as its driver says."""
        probe: DeviceProbe = self._probe()
        return probe.occupants(uuid)

    def busy_percent(self, uuid: str) -> float | None:
        """Return how busy the device was of late; None where no driver says."""
        probe: DeviceProbe = self._probe()
        return probe.busy_percent(uuid)

    def _probe(self) -> Any:
        inventory = self._current()
        return NoProbe() if inventory is None else inventory.probe

    def _current(self) -> Any:
        if self._made_for != self._static:
            settings = GpuSettings(static_devices=self._static, device_host=self._host_name)
            if find_spec(_INVENTORY) is not None:
                self._inventory = import_module(_INVENTORY).inventory_of(settings)
            self._made_for = self._static
        return self._inventory
