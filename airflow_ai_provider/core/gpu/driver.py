"""What the driver of a host's devices is asked: the port of the inventory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.gpu.health import Fault
from airflow_ai_provider.core.gpu.probe import DeviceProbe


class Trouble(str, Enum):
    """Why a driver tells nothing of a whole host; the sentence is for people."""

    NO_LIBRARY = "no_library"
    NO_DRIVER = "no_driver"
    MISMATCH = "mismatch"
    NO_PERMISSION = "no_permission"
    NO_ANSWER = "no_answer"

    @property
    def sentence(self) -> str:
        """What is the matter."""
        return _SAID[self][0]

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return _SAID[self][1]

    @property
    def means_none(self) -> bool:
        """Whether it says that there are no devices, rather than nothing about them."""
        return self in {Trouble.NO_LIBRARY, Trouble.NO_DRIVER}


_SAID = {
    Trouble.NO_LIBRARY: (
        "NVIDIA's management library is not here, so there are no NVIDIA GPUs to lease.",
        "Install the driver where there are some.",
    ),
    Trouble.NO_DRIVER: (
        "NVIDIA's management library is here, but the driver is not loaded: there are no NVIDIA "
        "GPUs to lease now.",
        "Load the driver (modprobe nvidia), and look into the kernel's log if that fails.",
    ),
    Trouble.MISMATCH: (
        "NVIDIA's library is of another version than the driver that is loaded, as after an "
        "upgrade.",
        "Restart the machine, or unload the driver and load it again.",
    ),
    Trouble.NO_PERMISSION: (
        "This process may not talk to NVIDIA's driver.",
        "Let its user, and its container if it runs in one, use /dev/nvidiactl and /dev/nvidia*.",
    ),
    Trouble.NO_ANSWER: (
        "NVIDIA's driver does not answer.",
        "Run nvidia-smi; if it fails too, look into the kernel's log for NVRM.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class CardState:
    """What a person should know of a card beside what the pool leases of it."""

    uuid: str
    model: str
    is_persistent: bool | None  # whether the driver stays initialised while nobody uses it
    is_partitioned: bool  # MIG is on: only its instances can be leased
    instances: int = 0


@dataclass(frozen=True, kw_only=True)
class DriverState:
    """The driver as it is: its version, its cards, and whether its pids are those we see."""

    version: str
    cards: tuple[CardState, ...]
    sees_our_pids: bool


class Driver(DeviceProbe, Protocol):
    """Asks the driver of this host; implemented by ``adapters.nvml`` and by fakes."""

    def look(self, *, host: str) -> tuple[Device, ...]:
        """Return the devices that can be leased; a ``PartialView`` if not all could be seen.

        :raises GpuDriverError: the driver tells nothing of this host.
        """
        ...

    def faults(self) -> tuple[Fault, ...]:
        """Return what the devices reported since the last call; the first call begins to listen.

        :raises GpuDriverError: as ``look``.
        """
        ...

    def state(self) -> DriverState:
        """Return the driver's state.

        :raises GpuDriverError: as ``look``.
        """
        ...
