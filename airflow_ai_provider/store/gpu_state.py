"""The pool as the planner needs it, read by one statement, and the queue by one more.

Both are bounded: the first by the devices, the second by the kinds of requests that wait and by
what could be granted now, however long the queue is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.devices import Device, Health
from airflow_ai_provider.core.gpu.lease import TaskIdentity
from airflow_ai_provider.core.gpu.planner import Holding, Queued
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.store.gpu_rows import DEVICE_COLUMNS, TASK_FIELDS, device_of
from airflow_ai_provider.store.schema import (
    device,
    gpu_change,
    gpu_quota,
    gpu_request,
    host,
    lease,
    lease_device,
)

_MAY_RUN_OUT = (LeaseState.GRANTED.value, LeaseState.ACTIVE.value)


@dataclass(frozen=True, kw_only=True)
class PoolState:
    """What one look at the pool found.

    ``mine`` is the state of the ticket that was named, ``boot_id`` that of the host; ``others``
    says that other tries of the same task are known; ``queue`` that another ticket waits;
    ``changed`` that a change was left to whoever plans next; ``ran_out`` that a lease or grant did.
    """

    devices: Sequence[Device]
    holdings: Sequence[Holding]
    mine: RequestState | None
    boot_id: str | None
    others: bool
    queue: bool
    changed: bool
    quotas: bool
    ran_out: bool

    @property
    def idle(self) -> int:
        """How many devices have nothing on them."""
        taken = {holding.device for holding in self.holdings}
        return sum(d.health is Health.HEALTHY and d.key not in taken for d in self.devices)


def read_pool(
    connection: sa.Connection,
    *,
    here: str,
    now: float,
    wall: datetime,
    ticket: str = "",
    task: TaskIdentity | None = None,
) -> PoolState:
    """Return the pool as it stands, seen from the host ``here`` by who presents ``ticket``."""
    task = task or TaskIdentity()
    rows = connection.execute(
        _pool_statement(),
        {
            "ticket": ticket,
            "here": here,
            "dag": task.dag_id,
            "run": task.run_id,
            "task": task.task_id,
            "map": task.map_index,
        },
    ).all()
    devices: dict[tuple[str, str], Device] = {}
    holdings = []
    ran_out = False
    for row in rows:
        if row.uuid is None:
            continue
        key = (row.host, row.uuid)
        if key not in devices:
            devices[key] = device_of(row)
        if row.lease_state is not None:
            holdings.append(_holding(row, key, wall))
            ran_out |= row.lease_state in _MAY_RUN_OUT and row.expires_at <= now
    first = rows[0]
    return PoolState(
        devices=tuple(devices.values()),
        holdings=holdings,
        mine=RequestState(first.mine) if first.mine else None,
        boot_id=first.boot_id,
        others=bool(first.others),
        queue=bool(first.queue),
        changed=bool(first.changed),
        quotas=bool(first.quotas),
        ran_out=ran_out,
    )


def read_queue(connection: sa.Connection, *, oldest: int) -> list[Any]:
    """Return the ``oldest`` so many requests of each class that wait, as rows of ``gpu_request``.

    ``alike`` is how many of the class wait. What makes a class is in ``gpu_tickets.class_key``.
    """
    return list(connection.execute(_queue_statement(), {"oldest": oldest}).all())


def queued_of(row: Any, *, wall: datetime) -> Queued:
    """Return a row of ``read_queue`` as the planner takes it."""
    return Queued(
        id=row.id,
        request=GpuRequest(**row.spec),
        place=row.place,
        host=row.host,
        waiting=max(0.0, (wall - row.enqueued_at).total_seconds()),
        estimate=row.estimate,
        count=row.alike,
        class_key=row.class_key,
    )


def _holding(row: Any, key: tuple[str, str], wall: datetime) -> Holding:
    ends_in = None
    if row.lease_estimate is not None:
        begun = row.activated_at or row.granted_at
        ends_in = row.lease_estimate - (wall - begun).total_seconds()
    return Holding(
        device=key,
        memory_mib=row.held_mib,
        state=LeaseState(row.lease_state),
        team=row.spec.get("team"),
        project=row.spec.get("project"),
        phase=row.spec.get("phase"),
        ends_in=ends_in,
    )


@cache
def _pool_statement() -> sa.Select[Any]:
    facts, held = _facts(), _held()
    return (
        sa.select(*DEVICE_COLUMNS, facts, *held.c)  # a device's columns first: see device_of
        .select_from(facts)
        .outerjoin(device, sa.true())
        .outerjoin(
            held, sa.and_(held.c.on_host == device.c.host, held.c.device_uuid == device.c.uuid)
        )
        .order_by(device.c.host, device.c.uuid)
    )


def _facts() -> sa.Subquery:
    """Return the one row of what a planner wants to know besides the devices."""
    other = gpu_request.alias("other")
    waits = other.c.state == RequestState.PENDING.value
    return sa.select(
        sa.select(gpu_request.c.state)
        .where(gpu_request.c.id == sa.bindparam("ticket"))
        .scalar_subquery()
        .label("mine"),
        sa.select(host.c.boot_id)
        .where(host.c.name == sa.bindparam("here"))
        .scalar_subquery()
        .label("boot_id"),
        sa.exists()
        .where(
            other.c.dag_id == sa.bindparam("dag", type_=sa.String),
            other.c.run_id == sa.bindparam("run", type_=sa.String),
            other.c.task_id == sa.bindparam("task", type_=sa.String),
            other.c.map_index == sa.bindparam("map", type_=sa.Integer),
            other.c.id != sa.bindparam("ticket"),
        )
        .label("others"),
        sa.exists().where(waits, other.c.id != sa.bindparam("ticket")).label("queue"),
        sa.exists(sa.select(gpu_change.c.sequence)).label("changed"),
        sa.exists(sa.select(gpu_quota.c.name)).label("quotas"),
    ).subquery("facts")


def _held() -> sa.Subquery:
    """Return what live leases hold, a row a device."""
    return (
        sa.select(
            lease_device.c.host.label("on_host"),
            lease_device.c.device_uuid,
            lease_device.c.memory_mib.label("held_mib"),
            lease.c.state.label("lease_state"),
            lease.c.expires_at,
            lease.c.estimate.label("lease_estimate"),
            lease.c.activated_at,
            lease.c.granted_at,
            gpu_request.c.spec,
        )
        .join_from(lease_device, lease, lease.c.id == lease_device.c.lease_id)
        .join(gpu_request, gpu_request.c.id == lease.c.request_id)
        .where(lease_device.c.live)
        .subquery("held")
    )


@cache
def _queue_statement() -> sa.Select[Any]:
    alike: dict[str, Any] = {"partition_by": gpu_request.c.class_key}
    ranked = (
        sa.select(
            gpu_request.c.id,
            sa.func.row_number()
            .over(**alike, order_by=(gpu_request.c.place, gpu_request.c.id))
            .label("rank"),
            sa.func.count().over(**alike).label("alike"),
        )
        .where(gpu_request.c.state == RequestState.PENDING.value)
        .subquery("ranked")
    )
    wanted = (
        "id",
        "class_key",
        "spec",
        "place",
        "host",
        "claim_within",
        "reason",
        "estimate",
        "holder",
    )
    columns = [gpu_request.c[name] for name in (*wanted, "holder", "enqueued_at", *TASK_FIELDS)]
    return (
        sa.select(*columns, ranked.c.alike)
        .join_from(ranked, gpu_request, gpu_request.c.id == ranked.c.id)
        .where(ranked.c.rank <= sa.bindparam("oldest"))
        .order_by(gpu_request.c.place, gpu_request.c.id)
    )
