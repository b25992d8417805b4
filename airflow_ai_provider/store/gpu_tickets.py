"""Tickets: how they enter the queue, and how they leave it unserved.

As in ``gpu_grants``, every function runs in the caller's transaction.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.errors import LeaseLostError
from airflow_ai_provider.core.gpu.lease import Process, TaskIdentity, Ticket, spec_of
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.store.gpu_grants import close_request, doubt_lease, end_grants
from airflow_ai_provider.store.gpu_history import estimate_of
from airflow_ai_provider.store.gpu_rows import TASK_FIELDS
from airflow_ai_provider.store.prepared import Prepared
from airflow_ai_provider.store.schema import gpu_request, lease

_NOT_PLANNED_BY = {"max_wait", "idle_limit"}
_NEWER = "a newer try took its place"
WAITS = (RequestState.PENDING, RequestState.LAPSED)


@lru_cache(maxsize=1024)
def class_key(request: GpuRequest, *, host: str | None, task: TaskIdentity) -> str:
    """Return what requests have in common that differ only by age: the planner's class."""
    spec = {k: v for k, v in spec_of(request).items() if k not in _NOT_PLANNED_BY}
    text = json.dumps([spec, host, task.dag_id, task.task_id], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def enter(
    connection: sa.Connection,
    ticket: Ticket,
    process: Process,
    wall: datetime,
    *,
    known: RequestState | None,
    state: RequestState = RequestState.PENDING,
    reason: str | None = None,
    estimate: float | None = None,
) -> None:
    """Put a ticket, which is in the state ``known``, into the queue, at the end.

    One that waits, or whose grant lapsed, goes back into its place. ``reason=None`` takes the one
    that the others of its class have. ``state`` is another when it need not wait.
    """
    values = _of_this_try(ticket, process, state, wall)
    if known in WAITS:
        if reason is not None:
            values["reason"] = reason
        connection.execute(
            gpu_request.update()
            .where(gpu_request.c.id == ticket.id, gpu_request.c.state.in_([s.value for s in WAITS]))
            .values(**values)
        )
        return
    values |= {**_of_ticket(ticket), "estimate": estimate, "channel": None, "enqueued_at": wall}
    if known is not None:  # served, withdrawn or refused before: anew
        values |= {"reason": reason or "", "place": _last_place()}
        change = gpu_request.update().where(gpu_request.c.id == ticket.id)
        connection.execute(change.values(**values))
    elif reason is None:
        _insert_like_its_class(connection, values)
    else:
        _insert(connection, {**values, "reason": reason})


def _of_this_try(
    ticket: Ticket, process: Process, state: RequestState, wall: datetime
) -> dict[str, Any]:
    """Return what a ticket that comes again may have otherwise than before."""
    return {
        "state": state.value,
        "host": ticket.host,
        "class_key": class_key(ticket.request, host=ticket.host, task=ticket.task),
        "finished_at": wall if state is RequestState.REFUSED else None,
        "waiter_pid": process.pid if ticket.process_waits else None,
        "waiter_start": process.start if ticket.process_waits else None,
        "waiter_uid": process.uid if ticket.process_waits else None,
    }


def _of_ticket(ticket: Ticket) -> dict[str, Any]:
    """Return what a ticket has for as long as it keeps its place."""
    return {
        "id": ticket.id,
        "holder": ticket.holder,
        "name": ticket.name,
        "spec": spec_of(ticket.request),
        "priority": ticket.request.priority,
        "claim_within": ticket.claim_within,
        **{name: getattr(ticket.task, name) for name in TASK_FIELDS},
    }


def estimate_for(connection: sa.Connection, ticket: Ticket) -> float | None:
    """Return how many seconds the ticket's lease will be held: as said, else as it was before."""
    if ticket.request.estimate is not None:
        return ticket.request.estimate
    return estimate_of(connection, ticket.task)


def leave_other_hosts(
    connection: sa.Connection, ticket_id: str, wall: datetime, *, here: str
) -> bool:
    """Let go of what the ticket was granted where its holder is not; whether there was any."""
    left = end_grants(
        connection,
        lease.c.request_id == ticket_id,
        lease.c.host != here,
        wall=wall,
        reason="its holder came back on another host",
        request_state=RequestState.LAPSED,
    )
    return bool(left)


def revoke_older(connection: sa.Connection, task: TaskIdentity, wall: datetime) -> list[str]:
    """End the waits of older tries of ``task``, and make their leases suspect for good.

    Return the ids of their tickets.

    :raises LeaseLostError: a newer try was here already.
    """
    rows = connection.execute(
        sa.select(gpu_request.c.id, gpu_request.c.try_number, gpu_request.c.state).where(
            gpu_request.c.dag_id == task.dag_id,
            gpu_request.c.run_id == task.run_id,
            gpu_request.c.task_id == task.task_id,
            gpu_request.c.map_index == task.map_index,
            gpu_request.c.try_number != task.try_number,
        )
    ).all()
    if newer := [row for row in rows if row.try_number > (task.try_number or 0)]:
        raise LeaseLostError(
            f"Try {newer[0].try_number} of {task.describe()} took its place already.",
            remedy="Let the newer try run.",
            request_id=newer[0].id,
        )
    live = (*WAITS, RequestState.LEASED)
    older = [row.id for row in rows if RequestState(row.state) in live]
    for request_id in older:
        withdraw(connection, request_id, wall, _NEWER)
        connection.execute(
            lease.update()
            .where(lease.c.request_id == request_id, lease.c.state != LeaseState.RELEASED.value)
            .values(revoked=True)
        )
        doubt_lease(connection, lease.c.request_id == request_id, reason=_NEWER)
    return older


def withdraw(connection: sa.Connection, ticket_id: str, wall: datetime, reason: str) -> bool:
    """Take a ticket out of the queue, with what it was granted and nobody claimed.

    Return whether it was given something back that another may have.
    """
    # leases first, as everywhere: two that want both never wait for each other
    back = end_grants(
        connection,
        lease.c.request_id == ticket_id,
        wall=wall,
        reason=reason,
        request_state=RequestState.WITHDRAWN,
    )
    close_request(connection, ticket_id, RequestState.WITHDRAWN, wall=wall, reason=reason)
    return bool(back)


def _last_place() -> Any:
    other = gpu_request.alias("other")
    return sa.select(sa.func.coalesce(sa.func.max(other.c.place), 0) + 1).scalar_subquery()


_GIVEN = (
    "id", "holder", "name", "state", "spec", "priority", "host", "claim_within", "class_key",
    "estimate", "channel", "enqueued_at", "finished_at", "waiter_pid", "waiter_start",
    "waiter_uid", *TASK_FIELDS,
)  # fmt: skip


def _build_insert(_dialect: str) -> sa.Insert:
    values: dict[str, Any] = {name: sa.bindparam(name) for name in (*_GIVEN, "reason")}
    return gpu_request.insert().values(place=_last_place(), **values)


def _build_insert_like_its_class(_dialect: str) -> sa.Insert:
    other = gpu_request.alias("like")
    reason = (
        sa.select(other.c.reason)
        .where(
            other.c.state == RequestState.PENDING.value,
            other.c.class_key == sa.bindparam("class_key"),
        )
        .order_by(other.c.place)
        .limit(1)
        .scalar_subquery()
    )
    values: dict[str, Any] = {name: sa.bindparam(name) for name in _GIVEN}
    return gpu_request.insert().values(
        place=_last_place(), reason=sa.func.coalesce(reason, ""), **values
    )


_insert = Prepared(_build_insert)
_insert_like_its_class = Prepared(_build_insert_like_its_class)
