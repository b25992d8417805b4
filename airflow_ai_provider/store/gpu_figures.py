"""The pool in a few numbers, by pool and host, for monitoring."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.devices import DEFAULT_POOL, Health
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_rows import read_devices
from airflow_ai_provider.store.schema import gpu_request, lease, lease_device


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How many devices of a pool on a host are held, and how many requests wait there.

    ``host`` is empty for requests that are bound to none.
    """

    pool: str
    host: str
    devices: int = 0
    healthy: int = 0
    in_use: int = 0
    quarantined: int = 0
    unhealthy: int = 0
    queued: int = 0


def read_figures(store: Store) -> list[Figures]:
    """Return the figures of every pool and host that has a device or a waiting request."""
    counts: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    with store.read() as connection:
        held = _held(connection)
        for device in read_devices(connection):
            count = counts[device.pool, device.host]
            states = held.get(device.key, set())
            set_aside = device.health is Health.QUARANTINED or LeaseState.QUARANTINED in states
            count["devices"] += device.health is not Health.ABSENT
            count["healthy"] += device.health is Health.HEALTHY
            count["in_use"] += bool(states)
            count["quarantined"] += set_aside
            count["unhealthy"] += device.health is Health.UNHEALTHY
        for pool, host, waiting in connection.execute(_QUEUED):
            counts[pool or DEFAULT_POOL, host or ""]["queued"] += waiting
    return [Figures(pool=pool, host=host, **count) for (pool, host), count in counts.items()]


_QUEUED = (
    sa.select(
        gpu_request.c.spec["gpu_pool"].as_string().label("asked_pool"),
        gpu_request.c.host,
        sa.func.count(),
    )
    .where(gpu_request.c.state == RequestState.PENDING.value)
    .group_by("asked_pool", gpu_request.c.host)
)


def _held(connection: sa.Connection) -> dict[tuple[str, str], set[LeaseState]]:
    rows = connection.execute(
        sa.select(lease_device.c.host, lease_device.c.device_uuid, lease.c.state)
        .join(lease, lease.c.id == lease_device.c.lease_id)
        .where(lease_device.c.live)
    )
    found: dict[tuple[str, str], set[LeaseState]] = defaultdict(set)
    for host, uuid, state in rows:
        found[host, uuid].add(LeaseState(state))
    return found
