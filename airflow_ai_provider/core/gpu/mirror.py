"""The Airflow pool that mirrors a pool of devices: how it is called, and how many slots it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MIRROR_MARK = "Mirror of the GPU-slot pool"


@dataclass(frozen=True, kw_only=True)
class MirrorChange:
    """What was changed of one Airflow pool; ``before`` is None where it was made."""

    pool: str
    before: int | None
    after: int
    reason: str


def mirror_name(gpu_pool: str) -> str:
    """Return the name of the Airflow pool that mirrors ``gpu_pool``."""
    return f"gpu_{gpu_pool}"


def mirror_description(gpu_pool: str) -> str:
    """Return what Airflow says about the mirror of ``gpu_pool``."""
    return (
        f"{MIRROR_MARK} {gpu_pool!r}: one slot per healthy device, set by "
        "`airflow-ai gpu sync-pools`. Leases are the authority, not these slots."
    )


def mirror_slots(gpus: Any) -> int:
    """Return how many slots a task takes that asks for ``gpus``; one where it is not known."""
    try:
        return max(1, int(gpus))
    except (TypeError, ValueError):
        return 1


def slots_of(healthy: int, *, occupied: int) -> tuple[int, str]:
    """Return how many slots the mirror has, never fewer than are in use, and why."""
    devices = f"{healthy} healthy device{'' if healthy == 1 else 's'}"
    if occupied > healthy:
        return occupied, f"{devices}, but {occupied} slots are in use"
    return healthy, devices
