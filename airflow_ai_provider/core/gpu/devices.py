"""Devices: what can be leased, and the static declaration of those that no driver reports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from airflow_ai_provider.core.errors import GpuRequestError, SettingsError
from airflow_ai_provider.core.gpu.memory import parse_memory
from airflow_ai_provider.core.gpu.nodes import NodeFacts

DEFAULT_POOL = "default"
_STATIC_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}")
_CUDA_NAME = re.compile(r"(GPU|MIG)-[0-9A-Za-z/-]+")


class DeviceKind(str, Enum):
    """How a device came to be known, and what of a card it is."""

    STATIC = "static"  # declared by an administrator; nothing vouches for it
    GPU = "gpu"  # a whole card
    MIG = "mig"  # an instance of a partitioned card
    KUBERNETES = "kubernetes"  # one unit of a node's resource; its device plugin picks the card


class Health(str, Enum):
    """Whether a device may be granted."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    ABSENT = "absent"  # no longer declared or reported by its host
    OCCUPIED = "occupied"  # of a cluster: a pod has it that holds no lease
    DRAINED = "drained"  # a person wants no new lease on it
    QUARANTINED = "quarantined"  # a person or the keeper found a stranger on it


@dataclass(frozen=True, kw_only=True)
class Topology:
    """Where a card sits: its PCI bus id, its switch and processor, and what NVLink joins it to.

    ``near`` is the nearest common ancestor that it shares with each other card of the host, by
    UUID: one of ``internal``, ``single``, ``multiple``, ``hostbridge``, ``node``, ``system``
    (NVML's ``nvmlGpuTopologyLevel_t``).
    """

    bus: str = ""
    nvlink: tuple[str, ...] = ()
    near: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Device:
    """One device of one host; ``memory_mib`` is None where it is not known.

    ``reserved_mib`` of it the driver keeps for itself; drivers that do not tell it count as none.
    ``health`` is what may be granted of it: what its host observed, unless a person said otherwise.
    A device of a cluster has a ``node``, and is for pods only.
    """

    uuid: str
    host: str
    kind: DeviceKind = DeviceKind.STATIC
    model: str = ""
    memory_mib: int | None = None
    mig_profile: str | None = None
    pool: str = DEFAULT_POOL
    health: Health = Health.HEALTHY
    reason: str = ""
    parent_uuid: str | None = None
    topology: Topology | None = None
    compute_mode: str | None = None
    reserved_mib: int = 0
    node: NodeFacts | None = None

    @property
    def shareable_mib(self) -> int | None:
        """How much of its memory programs may have, and so what shares are made of."""
        return None if self.memory_mib is None else max(0, self.memory_mib - self.reserved_mib)

    @property
    def key(self) -> tuple[str, str]:
        """What tells this device from every other: static names repeat from host to host."""
        return (self.host, self.uuid)


class PartialView(tuple[Device, ...]):
    """Devices of a host as seen by a look that could not see all of them.

    A plain tuple of devices is all that a host has: who is not in it is gone. Of who is not in this
    one, other than static devices, that is not known: with ``missing`` None they are as they were,
    else of that health, because of ``why``.
    """

    missing: Health | None
    why: str

    def __new__(cls, devices: Iterable[Device], *, missing: Health | None, why: str) -> PartialView:
        """Return the view."""
        view = super().__new__(cls, devices)
        view.missing = missing
        view.why = why
        return view


def parse_static_devices(text: str, *, host: str) -> tuple[Device, ...]:
    """Return the devices that ``"cpu:0,cpu:1"`` declares on ``host``.

    What stands before the last colon is the model. ``"npu:0@16GiB"`` also declares memory, without
    which a device is leased only whole.

    :raises SettingsError: a name is empty, has other characters, or is declared twice.
    """
    found: dict[str, Device] = {}
    for item in (part.strip() for part in text.split(",")):
        if not item:
            if text.strip():
                raise _wrong(text, "has an empty name")
            continue
        name, _, memory = item.partition("@")
        if not _STATIC_NAME.fullmatch(name):
            raise _wrong(text, f"has the name {name!r}, which cannot be one")
        if name in found:
            raise _wrong(text, f"declares {name!r} twice")
        found[name] = Device(
            uuid=name,
            host=host,
            model=name.rpartition(":")[0] or name,
            memory_mib=_memory(text, memory) if memory else None,
        )
    return tuple(found.values())


def cuda_visible(uuids: tuple[str, ...]) -> str:
    """Return what ``CUDA_VISIBLE_DEVICES`` must be for a holder of ``uuids``.

    Empty, which hides every card, for devices that CUDA does not know by that name.
    """
    return ",".join(uuid for uuid in uuids if is_driver_uuid(uuid))


def is_driver_uuid(uuid: str) -> bool:
    """Whether ``uuid`` is how NVIDIA's driver names a card or an instance."""
    return _CUDA_NAME.fullmatch(uuid) is not None


def _memory(text: str, memory: str) -> int:
    try:
        return parse_memory(memory)
    except GpuRequestError as error:
        raise _wrong(text, f"declares the memory {memory!r}, which means nothing") from error


def _wrong(text: str, what: str) -> SettingsError:
    return SettingsError(
        f"The setting static_devices {text!r} {what}.",
        remedy='Write names parted by commas, "cpu:0,cpu:1", each with "@16GiB" if you like.',
    )
