"""What this host can lease: the devices of its driver and those declared in the settings."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from airflow_ai_provider.core.errors import GpuDriverError
from airflow_ai_provider.core.gpu.devices import (
    Device,
    PartialView,
    is_driver_uuid,
    parse_static_devices,
)
from airflow_ai_provider.core.gpu.driver import Driver, Trouble
from airflow_ai_provider.core.gpu.health import Fault
from airflow_ai_provider.core.gpu.probe import DeviceProbe, Occupants
from airflow_ai_provider.services.settings import GpuSettings

log = logging.getLogger(__name__)

MAX_AGE = 30.0  # seconds


class Inventory:
    """The devices of this host, as this process sees them; also the ``probe`` that it offers.

    What the driver of a whole host does not tell for a moment is as it was at the last good look.
    """

    def __init__(
        self,
        settings: GpuSettings,
        *,
        driver: Driver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host = settings.host_name
        self._declared = settings.static_devices
        self._driver = driver or nvml_driver()
        self._clock = clock
        self._lock = threading.RLock()
        self._looked_at: float | None = None
        self._found: tuple[Device, ...] | None = None
        self._last: tuple[Device, ...] | None = None  # of the driver, when it last spoke
        self._said = ""
        self.trouble: Trouble | None = None  # at the last look

    @property
    def probe(self) -> DeviceProbe:
        """Who is on each of the devices, and how busy they are."""
        return _Probe(self._driver, frozenset(d.uuid for d in self._static()))

    def devices(self, *, max_age: float = MAX_AGE) -> tuple[Device, ...] | None:
        """Return this host's devices, seen at most ``max_age`` seconds ago.

        None means that this process knows of no source of devices: no library and none declared.
        A ``PartialView`` is no authority on who is not in it.

        :raises SettingsError: the declaration of static devices means nothing.
        """
        with self._lock:
            now = self._clock()
            if self._looked_at is None or now - self._looked_at > max_age:
                self._found = self._look()
                self._looked_at = now
            return self._found

    def watch(self) -> tuple[Fault, ...]:
        """Return what devices reported against themselves since the last call, without waiting.

        The first call begins to listen; hand what comes to ``store.gpu_hosts.note_faults``. When
        there is something, the next ``devices()`` looks anew.
        """
        try:
            faults = self._driver.faults()
        except GpuDriverError:
            return ()  # the next look says so
        if faults:
            self._looked_at = None
        return faults

    def _look(self) -> tuple[Device, ...] | None:
        static = self._static()
        found = self._ask_driver()
        if found is None:
            return static or None
        if isinstance(found, PartialView):
            return PartialView([*found, *static], missing=found.missing, why=found.why)
        return (*found, *static)

    def _static(self) -> tuple[Device, ...]:
        return parse_static_devices(self._declared, host=self.host) if self._declared else ()

    def _ask_driver(self) -> tuple[Device, ...] | None:
        """Return the driver's devices; None when there is no driver's library."""
        try:
            found = self._driver.look(host=self.host)
        except GpuDriverError as error:
            return self._silent(error)
        self.trouble = None
        if isinstance(found, PartialView):
            self._say(f"Not every device could be seen: {found.why}")
            found = self._with_missing(found)
        else:
            self._said = ""
        self._last = found
        return found

    def _silent(self, error: GpuDriverError) -> tuple[Device, ...] | None:
        self.trouble = Trouble(error.facts["trouble"])
        if self.trouble is Trouble.NO_LIBRARY:
            return None
        if self.trouble is Trouble.NO_DRIVER:
            self._last = ()
            return ()
        self._say(f"{error} ({error.facts.get('detail')}) The devices stay as they were.")
        if self._last is not None:
            return self._last
        return PartialView((), missing=None, why=error.message)

    def _with_missing(self, found: PartialView) -> PartialView:
        """Return the view with those in it that were there at the last look."""
        if found.missing is None:
            return found
        seen = {device.uuid for device in found}
        lost = [
            replace(device, health=found.missing, reason=found.why)
            for device in self._last or ()
            if device.uuid not in seen
        ]
        return PartialView([*found, *lost], missing=found.missing, why=found.why)

    def _say(self, what: str) -> None:
        if what != self._said:
            log.warning("%s", what)
            self._said = what


class _Probe:
    """Asks the driver about its devices; on others there is nobody that a driver would know."""

    def __init__(self, driver: Driver, static: Iterable[str]) -> None:
        self._driver = driver
        self._static = static

    def occupants(self, uuid: str) -> Occupants:
        """Return who is on the device."""
        return self._driver.occupants(uuid) if self._is_the_drivers(uuid) else Occupants()

    def busy_percent(self, uuid: str) -> float | None:
        """Return how busy it was of late."""
        return self._driver.busy_percent(uuid) if self._is_the_drivers(uuid) else None

    def _is_the_drivers(self, uuid: str) -> bool:
        return uuid not in self._static and is_driver_uuid(uuid)


def inventory_of(settings: GpuSettings) -> Inventory:
    """Return this process's inventory for ``settings``; a forked child has its own."""
    key = (os.getpid(), settings)
    if key not in _inventories:
        for other in [k for k in _inventories if k[0] != os.getpid()]:
            del _inventories[other]
        _inventories[key] = Inventory(settings)
    return _inventories[key]


_inventories: dict[tuple[int, GpuSettings], Inventory] = {}


def nvml_driver() -> Driver:
    """Return the way to NVIDIA's driver, which is not asked yet."""
    from airflow_ai_provider.adapters.nvml import NvmlDriver

    return NvmlDriver()
