"""Tickets: how they enter the queue, and how they leave it unserved.

As in ``gpu_queue``, every function runs in the caller's transaction.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from airflow_ai_provider.core.errors import LeaseLostError
from airflow_ai_provider.core.gpu.lease import Process, TaskIdentity, Ticket, spec_of
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.store.gpu_queue import close_request, doubt_lease, end_lease
from airflow_ai_provider.store.gpu_rows import TASK_FIELDS
from airflow_ai_provider.store.schema import gpu_request, lease

_REVIVED = (RequestState.DONE, RequestState.WITHDRAWN, RequestState.REFUSED)


def enter(connection: sa.Connection, ticket: Ticket, process: Process, wall: datetime) -> None:
    """Put a ticket into the queue, or back into its old place when its grant lapsed.

    One that was served, withdrawn or refused before starts anew, at the end.
    """
    state = connection.execute(
        sa.select(gpu_request.c.state).where(gpu_request.c.id == ticket.id)
    ).scalar_one_or_none()
    waiter = {
        "waiter_pid": process.pid if ticket.process_waits else None,
        "waiter_start": process.start if ticket.process_waits else None,
        "waiter_uid": process.uid if ticket.process_waits else None,
    }
    if state in {RequestState.PENDING.value, RequestState.LAPSED.value}:
        connection.execute(
            gpu_request.update()
            .where(gpu_request.c.id == ticket.id)
            .values(state=RequestState.PENDING.value, host=ticket.host, finished_at=None, **waiter)
        )
    if state is not None and RequestState(state) not in _REVIVED:
        return
    last = sa.select(sa.func.coalesce(sa.func.max(gpu_request.c.place), 0)).scalar_subquery()
    values = {
        "state": RequestState.PENDING.value,
        "place": last + 1,
        "spec": spec_of(ticket.request),
        "priority": ticket.request.priority,
        "host": ticket.host,
        "claim_within": ticket.claim_within,
        "reason": "",
        "enqueued_at": wall,
        "finished_at": None,
        **waiter,
        **{name: getattr(ticket.task, name) for name in TASK_FIELDS},
    }
    if state is None:
        insert = gpu_request.insert().values(
            id=ticket.id, holder=ticket.holder, name=ticket.name, **values
        )
        connection.execute(insert)
    else:
        connection.execute(
            gpu_request.update().where(gpu_request.c.id == ticket.id).values(**values)
        )


def leave_other_hosts(
    connection: sa.Connection, ticket_id: str, wall: datetime, *, here: str
) -> None:
    """Let go of what the ticket was granted where its holder is not."""
    elsewhere = connection.execute(
        sa.select(lease.c.id).where(
            lease.c.request_id == ticket_id,
            lease.c.state == LeaseState.GRANTED.value,
            lease.c.host != here,
        )
    ).scalars()
    for lease_id in elsewhere.all():
        end_lease(
            connection,
            lease_id,
            wall=wall,
            reason="its holder came back on another host",
            request_state=RequestState.LAPSED,
        )


def revoke_older(connection: sa.Connection, task: TaskIdentity, wall: datetime) -> None:
    """End the waits of older tries of ``task``, and make their leases suspect for good.

    :raises LeaseLostError: a newer try was here already.
    """
    rows = connection.execute(
        sa.select(gpu_request.c.id, gpu_request.c.try_number).where(
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
    for row in rows:
        withdraw(connection, row.id, wall, "a newer try took its place")
        connection.execute(
            lease.update()
            .where(lease.c.request_id == row.id, lease.c.state != LeaseState.RELEASED.value)
            .values(revoked=True)
        )
        doubt_lease(connection, lease.c.request_id == row.id, reason="a newer try took its place")


def withdraw(connection: sa.Connection, ticket_id: str, wall: datetime, reason: str) -> None:
    """Take a ticket out of the queue, with what it was granted and nobody claimed."""
    close_request(connection, ticket_id, RequestState.WITHDRAWN, wall=wall, reason=reason)
    granted = connection.execute(
        sa.select(lease.c.id).where(
            lease.c.request_id == ticket_id, lease.c.state == LeaseState.GRANTED.value
        )
    ).scalars()
    for lease_id in granted.all():
        end_lease(
            connection,
            lease_id,
            wall=wall,
            reason=reason,
            request_state=RequestState.WITHDRAWN,
        )
