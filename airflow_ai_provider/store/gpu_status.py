"""The pool as people look at it: devices with their holders, and the queue."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_rows import lease_clock, read_devices, task_of
from airflow_ai_provider.store.schema import gpu_request, lease, lease_device


def snapshot(store: Store) -> dict[str, Any]:
    """Return devices and queue in the shape of ``airflow-ai gpu status``; it changes nothing."""
    with store.read() as connection:
        now, clock = store.utcnow(connection), lease_clock(connection)
        held = _held(connection, now=now, clock=clock)
        devices = []
        for device in read_devices(connection):
            holders = held.get(device.key, [])
            devices.append(
                {
                    "uuid": device.uuid,
                    "host": device.host,
                    "kind": device.kind.value,
                    "model": device.model,
                    "memory_mib": device.memory_mib,
                    "used_mib": _used(device.memory_mib, [share for share, _ in holders]),
                    "health": device.health.value,
                    "reason": device.reason,
                    "holders": [document for _, document in holders],
                }
            )
        return {"devices": devices, "queue": _queue(connection, now=now)}


def _held(
    connection: sa.Connection, *, now: datetime, clock: float
) -> dict[tuple[str, str], list[tuple[int | None, dict[str, Any]]]]:
    rows = connection.execute(
        sa.select(
            lease,
            gpu_request.c.holder,
            lease_device.c.host.label("on_host"),
            lease_device.c.device_uuid,
            lease_device.c.memory_mib,
        )
        .join(lease_device, lease_device.c.lease_id == lease.c.id)
        .join(gpu_request, gpu_request.c.id == lease.c.request_id)
        .where(lease_device.c.live)
        .order_by(lease_device.c.device_uuid)
    ).all()
    documents: dict[str, dict[str, Any]] = {}
    held: dict[tuple[str, str], list[tuple[int | None, dict[str, Any]]]] = {}
    for row in rows:
        document = documents.setdefault(
            row.id,
            {
                "id": row.id,
                "fence": row.fence,
                "task": task_of(row).describe() or row.holder,
                "state": row.state,
                "devices": [],
                "since": row.granted_at,
                "expires_at": datetime.fromtimestamp(
                    now.timestamp() + row.expires_at - clock, tz=now.tzinfo
                ),
            },
        )
        if row.state in {LeaseState.SUSPECT.value, LeaseState.QUARANTINED.value}:
            document["reason"] = row.reason
        document["devices"].append(row.device_uuid)
        held.setdefault((row.on_host, row.device_uuid), []).append((row.memory_mib, document))
    return held


def _used(memory_mib: int | None, shares: list[int | None]) -> int | None:
    if None in shares:
        return memory_mib
    return sum(share for share in shares if share is not None)


def _queue(connection: sa.Connection, *, now: datetime) -> list[dict[str, Any]]:
    rows = connection.execute(
        sa.select(gpu_request)
        .where(gpu_request.c.state == RequestState.PENDING.value)
        .order_by(gpu_request.c.priority.desc(), gpu_request.c.place)
    )
    return [
        {
            "id": row.id,
            "task": task_of(row).describe() or row.holder,
            "spec": row.spec,
            "priority": row.priority,
            "waiting_s": round(max(0.0, (now - row.enqueued_at).total_seconds()), 3),
            "reason": row.reason,
            "expected_start": None,  # nobody can know it yet
        }
        for row in rows
    ]
