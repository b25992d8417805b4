"""Rows of the GPU tables as values, and the clock that leases live by."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Health, Topology
from airflow_ai_provider.core.gpu.fair_share import KINDS, Quota
from airflow_ai_provider.core.gpu.lease import LeaseRecord, Process, TaskIdentity
from airflow_ai_provider.core.gpu.nodes import NodeFacts
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.store.schema import device, gpu_quota, gpu_request, lease, lease_device

LeaseClock = Callable[[sa.Connection], float]
TASK_FIELDS = ("ti_id", "dag_id", "run_id", "task_id", "map_index", "try_number")
PLANNER_LOCK = 0x61695F67  # "ai_g"
SERVER_CLOCK = sa.func.extract("epoch", sa.func.clock_timestamp())


def lease_clock(connection: sa.Connection) -> float:
    """Return seconds that no one can set back.

    On SQLite, which is one host, its time since boot, suspension included; on a server, its clock.
    """
    if connection.dialect.name == "sqlite":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return float(connection.execute(sa.select(SERVER_CLOCK)).scalar_one())


DEVICE_COLUMNS = (
    device.c.uuid,
    device.c.host,
    device.c.kind,
    device.c.model,
    device.c.memory_mib,
    device.c.mig_profile,
    device.c.pool,
    device.c.health,
    device.c.reason,
    device.c.parent_uuid,
    sa.cast(device.c.topology, sa.Text).label("topology"),
    device.c.compute_mode,
    device.c.reserved_mib,
    device.c.admin_state,
    device.c.admin_reason,
    sa.cast(device.c.node, sa.Text).label("node"),
)


def read_devices(connection: sa.Connection) -> list[Device]:
    """Return every device that was ever registered."""
    rows = connection.execute(sa.select(*DEVICE_COLUMNS).order_by(device.c.host, device.c.uuid))
    return [device_of(row) for row in rows]


def read_quotas(connection: sa.Connection) -> list[Quota]:
    """Return every quota, by pool, then teams before projects before phases, then name."""
    rows = connection.execute(sa.select(gpu_quota)).mappings()
    found = [Quota(**row) for row in rows]
    return sorted(found, key=lambda q: (q.pool, KINDS.index(q.kind), q.name))


def device_of(row: Any) -> Device:
    """Return a row that begins with ``DEVICE_COLUMNS`` as a device."""
    return _device(*row[: len(DEVICE_COLUMNS)])


@lru_cache(maxsize=4096)  # a row seldom changes, and its topology is long
def _device(
    uuid: str,
    host: str,
    kind: str,
    model: str,
    memory_mib: int | None,
    mig_profile: str | None,
    pool: str,
    health: str,
    reason: str,
    parent_uuid: str | None,
    topology: str | None,
    compute_mode: str | None,
    reserved_mib: int,
    admin_state: str,
    admin_reason: str,
    node: str | None,
) -> Device:
    if admin_state and health == Health.HEALTHY.value:  # people stand above what a host observed
        health, reason = admin_state, admin_reason
    return Device(
        uuid=uuid,
        host=host,
        kind=DeviceKind(kind),
        model=model,
        memory_mib=memory_mib,
        mig_profile=mig_profile,
        pool=pool,
        parent_uuid=parent_uuid,
        topology=_topology(json.loads(topology) if topology else None),
        compute_mode=compute_mode,
        reserved_mib=reserved_mib,
        health=Health(health),
        reason=reason,
        node=_node(json.loads(node) if node else None),
    )


def _node(document: dict[str, Any] | None) -> NodeFacts | None:
    return None if document is None else NodeFacts.of(document)


def _topology(document: dict[str, Any] | None) -> Topology | None:
    if document is None:
        return None
    return Topology(
        bus=document["bus"],
        nvlink=tuple(document["nvlink"]),
        near=tuple((uuid, level) for uuid, level in document["near"]),
    )


def one_of(column: sa.ColumnElement[Any], name: str, dialect: str) -> sa.ColumnElement[bool]:
    """Return that ``column`` is among the texts of the parameter ``name``, however many they are.

    So the statement is one text. The parameter is a list on a server, JSON on SQLite.
    """
    if dialect == "postgresql":
        return column == sa.any_(sa.bindparam(name, type_=postgresql.ARRAY(sa.String)))
    each = sa.func.json_each(sa.bindparam(name, type_=sa.String)).table_valued("value")
    return column.in_(sa.select(each.c.value))


def read_leases(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> list[LeaseRecord]:
    """Return the leases that are not released and meet ``where``, oldest first."""
    on_it = sa.and_(lease_device.c.lease_id == lease.c.id, lease_device.c.live)
    rows = connection.execute(
        sa.select(lease, gpu_request.c.spec, lease_device.c.device_uuid)
        .join(gpu_request, gpu_request.c.id == lease.c.request_id)
        .outerjoin(lease_device, on_it)
        .where(lease.c.state != LeaseState.RELEASED.value, *where)
        .order_by(lease.c.granted_at, lease.c.id, lease_device.c.device_uuid)
    ).all()
    of_lease: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        of_lease[row.id].append(row)
    return [
        _lease(same[0], [row.device_uuid for row in same if row.device_uuid is not None])
        for same in of_lease.values()
    ]


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
        idle_limit=row.spec.get("idle_limit"),
        pod=row.holder_pod,
    )
