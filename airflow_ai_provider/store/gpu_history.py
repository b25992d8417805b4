"""What was: how long a task held before, and how much of the past is kept."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.lease import TaskIdentity
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.store.schema import gpu_request, lease, lease_device

KEEP_FOR = timedelta(days=30)
KEEP_OF_TASK = 50
_KEEP_ALL_FOR = timedelta(hours=1)  # whatever the number: an older try may still come
_PRUNE_AT_ONCE = 1000
_PRUNE_EVERY = 256  # fences of a device
_LOOK_BACK = 20
_QUANTILE = 0.9
_FINISHED = (RequestState.DONE.value, RequestState.WITHDRAWN.value, RequestState.REFUSED.value)


def estimate_of(connection: sa.Connection, task: TaskIdentity) -> float | None:
    """Return how many seconds nine of ten of the task's last leases were held; None: no history."""
    if task.task_id is None:
        return None
    rows = connection.execute(
        sa.select(lease.c.activated_at, lease.c.released_at)
        .where(
            lease.c.dag_id == task.dag_id,
            lease.c.task_id == task.task_id,
            lease.c.released_at.is_not(None),
            lease.c.activated_at.is_not(None),
        )
        .order_by(lease.c.released_at.desc())
        .limit(_LOOK_BACK)
    ).all()
    held = sorted((row.released_at - row.activated_at).total_seconds() for row in rows)
    return held[math.ceil(_QUANTILE * len(held)) - 1] if held else None


def prune_now_and_then(connection: sa.Connection, *, fence: int, wall: datetime) -> None:
    """Prune the history once in many leases, so that nobody needs to be asked to."""
    if fence % _PRUNE_EVERY == 0:
        prune(connection, wall=wall)


def prune(connection: sa.Connection, *, wall: datetime) -> int:
    """Delete finished requests, with their leases, that are old or too many of one task.

    Return how many. What no task asked for counts as one task.
    """
    rank = (
        sa.func.row_number()
        .over(
            partition_by=(gpu_request.c.dag_id, gpu_request.c.task_id),
            order_by=gpu_request.c.finished_at.desc(),
        )
        .label("rank")
    )
    finished = (
        sa.select(gpu_request.c.id, gpu_request.c.finished_at, rank)
        .where(gpu_request.c.state.in_(_FINISHED))
        .subquery()
    )
    too_many = sa.and_(
        finished.c.rank > KEEP_OF_TASK, finished.c.finished_at < wall - _KEEP_ALL_FOR
    )
    live = sa.exists().where(
        lease.c.request_id == finished.c.id, lease.c.state != LeaseState.RELEASED.value
    )
    old = (
        connection.execute(
            sa.select(finished.c.id)
            .where(sa.or_(finished.c.finished_at < wall - KEEP_FOR, too_many), ~live)
            .limit(_PRUNE_AT_ONCE)
        )
        .scalars()
        .all()
    )
    if not old:
        return 0
    leases = sa.select(lease.c.id).where(lease.c.request_id.in_(old))
    connection.execute(lease_device.delete().where(lease_device.c.lease_id.in_(leases)))
    connection.execute(lease.delete().where(lease.c.request_id.in_(old)))
    gone = connection.execute(
        gpu_request.delete().where(gpu_request.c.id.in_(old), gpu_request.c.state.in_(_FINISHED))
    )
    return gone.rowcount
