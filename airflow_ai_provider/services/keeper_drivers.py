"""The devices of the keeper's host, and who is on them."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Health, PartialView
from airflow_ai_provider.core.gpu.health import Fault
from airflow_ai_provider.core.gpu.probe import Occupants
from airflow_ai_provider.services.gpu_inventory import Inventory, inventory_of
from airflow_ai_provider.services.settings import GpuSettings

_FRESH = 5.0  # seconds: the keeper looks less often than this


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the drivers report; ``devices`` None while none reports any: nothing can change."""

    devices: tuple[Device, ...] | None
    faults: tuple[Fault, ...] = ()

    def differs(self, registered: dict[str, str]) -> bool:
        """Whether the devices are others than those registered, by name and health."""
        if self.devices is None:
            return False
        found = {device.uuid: device.health.value for device in self.devices}
        shown = {u: h for u, h in registered.items() if h != Health.ABSENT.value}
        if isinstance(self.devices, PartialView) and self.devices.missing is None:
            return any(shown.get(uuid) != health for uuid, health in found.items())
        return found != shown


class HostDrivers:
    """The port ``services.keeper_ports.Drivers`` on the inventory of this host."""

    def __init__(self, host_name: str, static_devices: str) -> None:
        self._settings = GpuSettings(static_devices=static_devices, device_host=host_name)

    def declare(self, static_devices: str) -> None:
        """Note what the newest holder's process was told of static devices."""
        if static_devices != self._settings.static_devices:
            self._settings = GpuSettings(
                static_devices=static_devices, device_host=self._settings.device_host
            )

    def report(self) -> Report:
        """Return what the drivers report now."""
        inventory = self._inventory()
        faults = inventory.watch()
        devices = inventory.devices(max_age=_FRESH)
        if devices is None or all(device.kind is DeviceKind.STATIC for device in devices):
            return Report(devices=None, faults=faults)
        return Report(devices=devices, faults=faults)

    def occupants(self, uuid: str) -> Occupants:
        """Return who is on the device, as its driver says."""
        return self._inventory().probe.occupants(uuid)

    def busy_percent(self, uuid: str) -> float | None:
        """Return how busy the device was of late; None where no driver says."""
        return self._inventory().probe.busy_percent(uuid)

    def _inventory(self) -> Inventory:
        return inventory_of(self._settings)
