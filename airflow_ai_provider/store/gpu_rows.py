"""Rows of the GPU tables as values, and the clock that leases live by."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Health, Topology
from airflow_ai_provider.core.gpu.lease import LeaseRecord, Process, TaskIdentity
from airflow_ai_provider.core.gpu.planner import Holding, Queued
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.store.schema import device, gpu_request, lease, lease_device

LeaseClock = Callable[[sa.Connection], float]
TASK_FIELDS = ("ti_id", "dag_id", "run_id", "task_id", "map_index", "try_number")
_ADVISORY_LOCK = 0x61695F67  # "ai_g"


def lease_clock(connection: sa.Connection) -> float:
    """Return seconds that no one can set back.

    On SQLite, which is one host, its time since boot, suspension included; on a server, its clock.
    """
    if connection.dialect.name == "sqlite":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    now = sa.func.extract("epoch", sa.func.clock_timestamp())
    return float(connection.execute(sa.select(now)).scalar_one())


def one_planner(connection: sa.Connection) -> None:
    """Let no other transaction change the queue until this one ends.

    On SQLite the store's write lock does that already.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def read_devices(connection: sa.Connection) -> list[Device]:
    """Return every device that was ever registered."""
    rows = connection.execute(sa.select(device).order_by(device.c.host, device.c.uuid))
    return [
        Device(
            uuid=row.uuid,
            host=row.host,
            kind=DeviceKind(row.kind),
            model=row.model,
            memory_mib=row.memory_mib,
            mig_profile=row.mig_profile,
            pool=row.pool,
            parent_uuid=row.parent_uuid,
            topology=_topology(row.topology),
            compute_mode=row.compute_mode,
            **_standing(row),
        )
        for row in rows
    ]


def _standing(row: Any) -> dict[str, Any]:
    """What may be granted: what people said of a device stands above what its host observed."""
    if row.admin_state and row.health == Health.HEALTHY.value:
        return {"health": Health(row.admin_state), "reason": row.admin_reason}
    return {"health": Health(row.health), "reason": row.reason}


def _topology(document: dict[str, Any] | None) -> Topology | None:
    if document is None:
        return None
    return Topology(
        bus=document["bus"],
        nvlink=tuple(document["nvlink"]),
        near=tuple((uuid, level) for uuid, level in document["near"]),
    )


def read_holdings(connection: sa.Connection) -> list[Holding]:
    """Return what live leases hold of each device."""
    rows = connection.execute(
        sa.select(
            lease_device.c.host,
            lease_device.c.device_uuid,
            lease_device.c.memory_mib,
            lease.c.state,
        )
        .join(lease, lease.c.id == lease_device.c.lease_id)
        .where(lease_device.c.live)
    )
    return [
        Holding(
            device=(row.host, row.device_uuid),
            memory_mib=row.memory_mib,
            state=LeaseState(row.state),
        )
        for row in rows
    ]


def read_queue(connection: sa.Connection) -> list[Queued]:
    """Return the requests that wait."""
    rows = connection.execute(
        sa.select(gpu_request.c.id, gpu_request.c.spec, gpu_request.c.place, gpu_request.c.host)
        .where(gpu_request.c.state == RequestState.PENDING.value)
        .order_by(gpu_request.c.place)
    )
    return [
        Queued(id=row.id, request=GpuRequest(**row.spec), place=row.place, host=row.host)
        for row in rows
    ]


def read_leases(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> list[LeaseRecord]:
    """Return the leases that are not released and meet ``where``, oldest first."""
    rows = connection.execute(
        sa.select(lease)
        .where(lease.c.state != LeaseState.RELEASED.value, *where)
        .order_by(lease.c.granted_at, lease.c.id)
    ).all()
    names: dict[str, list[str]] = defaultdict(list)
    held = connection.execute(
        sa.select(lease_device.c.lease_id, lease_device.c.device_uuid)
        .where(lease_device.c.live)
        .order_by(lease_device.c.device_uuid)
    )
    for row in held:
        names[row.lease_id].append(row.device_uuid)
    return [_lease(row, names[row.id]) for row in rows]


def task_of(row: Any) -> TaskIdentity:
    """Return the task columns of a request's or a lease's row."""
    return TaskIdentity(**{name: getattr(row, name) for name in TASK_FIELDS})


def _lease(row: Any, devices: Sequence[str]) -> LeaseRecord:
    process = None
    if row.holder_pid is not None:
        process = Process(pid=row.holder_pid, start=row.holder_start, uid=row.holder_uid)
    return LeaseRecord(
        id=row.id,
        request_id=row.request_id,
        fence=row.fence,
        state=LeaseState(row.state),
        host=row.host,
        devices=tuple(devices),
        process=process,
        expires_at=row.expires_at,
        revoked=row.revoked,
        left_behind=tuple(
            Process(pid=pid, start=start, uid=uid) for pid, start, uid in row.left_behind or ()
        ),
        reason=row.reason,
        task=task_of(row),
    )
