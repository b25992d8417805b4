"""The GPU slots as a page shows them: devices by host, the queue, and use over time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.wait_reasons import sentence
from airflow_ai_provider.core.lifecycle.visible import EVERYTHING, Sight
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_status import snapshot
from airflow_ai_provider.store.schema import lease, lease_device

WINDOW = timedelta(hours=24)
STEP = timedelta(minutes=15)
QUEUE_SHOWN = 50


def gpu_view(store: Store, *, sight: Sight = EVERYTHING) -> dict[str, Any]:
    """Return ``hosts`` with their devices, ``queue``, ``waiting``, ``totals`` and ``use``.

    ``use`` is the number of devices held in each quarter of an hour of the last day, the oldest
    first: ``[{"at", "held"}]``; a share counts as its part of the device's memory.
    """
    found = snapshot(store, hidden=sight.projects)
    by_host: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for device in found["devices"]:
        by_host[device["host"]].append(device)
    standing = {host["name"]: host for host in found["hosts"]}
    hosts = [
        {
            "name": name,
            "state": standing.get(name, {}).get("state", "present"),
            "seen_at": standing.get(name, {}).get("seen_at"),
            "devices": devices,
            "held": sum(1 for device in devices if device["holders"]),
        }
        for name, devices in sorted(by_host.items())
    ]
    queue = [
        {**entry, "says": sentence(entry["reason"]), "asks": _asked(entry["spec"])}
        for entry in found["queue"]
    ]
    devices = found["devices"]
    return {
        "hosts": hosts,
        "queue": queue[:QUEUE_SHOWN],
        "waiting": len(queue),
        "totals": {
            "devices": len(devices),
            "held": sum(1 for device in devices if device["holders"]),
            "healthy": sum(1 for device in devices if device["health"] == "healthy"),
        },
        "use": _use(store, {(d["host"], d["uuid"]): d["memory_mib"] for d in devices}),
    }


def _asked(spec: dict[str, Any]) -> str:
    hidden = {"priority"} | ({"gpu_pool"} if spec.get("gpu_pool") == "default" else set())
    shown = {key: value for key, value in spec.items() if key not in hidden}
    return ", ".join(f"{key} {value}" for key, value in shown.items() if value not in {None, ""})


def _use(store: Store, memory: dict[tuple[str, str], int | None]) -> list[dict[str, Any]]:
    with store.read() as connection:
        now = store.utcnow(connection)
        since = now - WINDOW
        rows = connection.execute(
            sa.select(
                lease_device.c.host,
                lease_device.c.device_uuid,
                lease_device.c.memory_mib,
                lease.c.granted_at,
                lease.c.released_at,
            )
            .join(lease, lease.c.id == lease_device.c.lease_id)
            .where(sa.or_(lease.c.released_at.is_(None), lease.c.released_at > since))
        ).all()
    held = [
        (
            max(row.granted_at, since),
            min(row.released_at or now, now),
            _part(row.memory_mib, memory.get((row.host, row.device_uuid))),
        )
        for row in rows
    ]
    return held_by_step(held, since=since, until=now, step=STEP)


def _part(share: int | None, whole: int | None) -> float:
    return min(1.0, share / whole) if share and whole else 1.0


def held_by_step(
    held: Sequence[tuple[datetime, datetime, float]],
    *,
    since: datetime,
    until: datetime,
    step: timedelta,
) -> list[dict[str, Any]]:
    """Return the mean number of devices held in each step from ``since`` to ``until``.

    ``held`` is from when, until when, and how much of a device.
    """
    count = max(1, round((until - since) / step))
    sums = [0.0] * count
    for begin, end, part in held:
        first = max(0, int((begin - since) / step))
        last = min(count - 1, int((end - since) / step))
        for index in range(first, last + 1):
            low = max(begin, since + index * step)
            high = min(end, since + (index + 1) * step)
            sums[index] += part * max(0.0, (high - low) / step)
    return [
        {"at": since + index * step, "held": round(value, 4)} for index, value in enumerate(sums)
    ]
