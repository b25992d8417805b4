"""GPU hours that were used, from the history of leases."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.causes import GpuHours
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_history import KEEP_OF_TASK
from airflow_ai_provider.store.schema import device, gpu_request, lease, lease_device


def used_hours(store: Store, *, project: str | None, days: int) -> GpuHours:
    """Return the hours for which leases of a project (of anybody, without one) held devices.

    A share counts as its part of the device. What runs counts until now. Of a task that has as
    many leases in the history as are kept, some may be missing: that is said (``cut``).
    """
    with store.read() as connection:
        now = store.utcnow(connection)
        since = now - timedelta(days=days)
        rows = connection.execute(_held(since)).all()
    seconds = 0.0
    leases_of: dict[str, set[str]] = {}
    for row in rows:
        if project is not None and (row.spec or {}).get("project") != project:
            continue
        whole = row.memory_mib is None or not row.device_mib
        part = 1.0 if whole else min(1.0, row.memory_mib / row.device_mib)
        seconds += part * _overlap(row.activated_at, row.released_at or now, since)
        task = f"{row.dag_id}.{row.task_id}" if row.task_id else "programs outside Airflow"
        leases_of.setdefault(task, set()).add(row.id)
    cut = sorted(task for task, leases in leases_of.items() if len(leases) >= KEEP_OF_TASK)
    return GpuHours(hours=seconds / 3600, days=days, cut=tuple(cut))


def _held(since: datetime) -> sa.Select[tuple[object, ...]]:
    of_device = sa.and_(
        device.c.host == lease_device.c.host, device.c.uuid == lease_device.c.device_uuid
    )
    return (
        sa.select(
            lease.c.id,
            lease.c.dag_id,
            lease.c.task_id,
            lease.c.activated_at,
            lease.c.released_at,
            lease_device.c.memory_mib,
            device.c.memory_mib.label("device_mib"),
            gpu_request.c.spec,
        )
        .select_from(
            lease.join(lease_device, lease_device.c.lease_id == lease.c.id)
            .join(gpu_request, gpu_request.c.id == lease.c.request_id)
            .outerjoin(device, of_device)
        )
        .where(
            lease.c.activated_at.is_not(None),
            sa.or_(lease.c.released_at.is_(None), lease.c.released_at > since),
        )
    )


def _overlap(begin: datetime, end: datetime, since: datetime) -> float:
    return max(0.0, (end - max(begin, since)).total_seconds())
