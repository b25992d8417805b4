"""One ticket with its lease, as a person looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_rows import lease_clock, task_of
from airflow_ai_provider.store.schema import gpu_request, lease, lease_device


@dataclass(frozen=True, kw_only=True)
class LeaseView:
    """A lease; ``expires_at`` is None when it has ended."""

    id: str
    fence: int
    state: str
    host: str
    devices: tuple[str, ...]
    since: datetime
    until: datetime | None
    expires_at: datetime | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class TicketStory:
    """A request from its place in the queue to its newest lease.

    ``ahead`` is how many requests of its pool stand before it; None when it does not wait.
    """

    id: str
    holder: str
    state: str
    reason: str
    spec: dict[str, Any]
    priority: int
    enqueued_at: datetime
    finished_at: datetime | None
    ahead: int | None
    lease: LeaseView | None


def look_up(store: Store, ticket_or_lease: str) -> TicketStory | None:
    """Return what is known of a ticket, by its id or that of a lease; None for neither."""
    by_lease = sa.select(lease.c.request_id).where(lease.c.id == ticket_or_lease)
    with store.read() as connection:
        row = connection.execute(
            sa.select(gpu_request).where(
                sa.or_(gpu_request.c.id == ticket_or_lease, gpu_request.c.id.in_(by_lease))
            )
        ).first()
        if row is None:
            return None
        return TicketStory(
            id=row.id,
            holder=task_of(row).describe() or row.holder,
            state=row.state,
            reason=row.reason,
            spec=row.spec,
            priority=row.priority,
            enqueued_at=row.enqueued_at,
            finished_at=row.finished_at,
            ahead=_ahead(connection, row),
            lease=_lease(connection, store, row.id, asked=ticket_or_lease),
        )


def _ahead(connection: sa.Connection, row: Any) -> int | None:
    if row.state != RequestState.PENDING.value:
        return None
    before = sa.or_(
        gpu_request.c.priority > row.priority,
        sa.and_(gpu_request.c.priority == row.priority, gpu_request.c.place < row.place),
    )
    return int(
        connection.execute(
            sa.select(sa.func.count()).where(
                gpu_request.c.state == RequestState.PENDING.value,
                gpu_request.c.spec["gpu_pool"].as_string() == row.spec.get("gpu_pool", ""),
                before,
            )
        ).scalar_one()
    )


def _lease(
    connection: sa.Connection, store: Store, request_id: str, *, asked: str
) -> LeaseView | None:
    row = connection.execute(
        sa.select(lease)
        .where(lease.c.request_id == request_id)
        .order_by((lease.c.id == asked).desc(), lease.c.granted_at.desc())
    ).first()
    if row is None:
        return None
    devices = connection.execute(
        sa.select(lease_device.c.device_uuid)
        .where(lease_device.c.lease_id == row.id)
        .order_by(lease_device.c.device_uuid)
    ).scalars()
    ended = row.state == LeaseState.RELEASED.value
    left = timedelta(seconds=row.expires_at - lease_clock(connection))
    return LeaseView(
        id=row.id,
        fence=row.fence,
        state=row.state,
        host=row.host,
        devices=tuple(devices),
        since=row.activated_at or row.granted_at,
        until=row.released_at,
        expires_at=None if ended else store.utcnow(connection) + left,
        reason=row.reason,
    )
