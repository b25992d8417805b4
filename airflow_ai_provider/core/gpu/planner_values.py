"""What the planner is given and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.core.gpu.wait_reasons import WaitReason

DeviceKey = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Queued:
    """A request in the queue.

    ``place`` rises with age, and ``waiting`` is the age in seconds; ``host`` binds it to one host.
    ``estimate`` is how many seconds it will hold, None where nobody knows. Requests that are alike
    but for their age carry the same ``class_key``; of ``count`` such that wait, a caller may pass
    only the oldest.
    """

    id: str
    request: GpuRequest
    place: int
    host: str | None = None
    waiting: float = 0.0
    estimate: float | None = None
    count: int = 1
    class_key: str = ""


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a live lease holds of a device: ``memory_mib``, or all of it when None.

    ``ends_in`` is how many seconds it will still hold by its estimate: None is not known, zero or
    less is overdue.
    """

    device: DeviceKey
    state: LeaseState
    memory_mib: int | None = None
    team: str | None = None
    project: str | None = None
    phase: str | None = None
    ends_in: float | None = None


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Devices for a request, all of one host."""

    request_id: str
    devices: tuple[DeviceKey, ...]


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """Devices kept for the request that waits longest; ``starts_in`` seconds, None for unknown."""

    request_id: str
    devices: tuple[DeviceKey, ...]
    starts_in: float | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the planner decided about each request of the queue.

    Several may have devices kept; ``reserved`` is for the oldest of the highest priority.
    """

    grants: tuple[Grant, ...]
    waiting: dict[str, WaitReason]
    refused: dict[str, str]
    reserved: Reservation | None = None
