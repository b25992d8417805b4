"""What those who wait for GPUs look at, read by a few statements however many they are.

Nothing here writes, but for the name under which a server tells a process of its tickets.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.lease import Process, TicketView
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.store.gpu_rows import SERVER_CLOCK, one_of
from airflow_ai_provider.store.schema import gpu_change, gpu_request, lease

_TICKET, _WAITER, _HOLDER = "ticket", "waiter", "holder"


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look found.

    ``tickets`` are those asked for, as far as somebody presented them. ``waiters`` and ``holders``
    are processes of this user on this host that wait, or hold a lease; ``doubtful`` says that a
    lease of theirs is suspect. ``earliest_end`` is when the first grant or lease runs out, on the
    lease clock; ``change`` the oldest change that nobody planned yet. ``now`` is the time of a
    server's clock.
    """

    tickets: dict[str, TicketView]
    waiters: frozenset[Process]
    holders: frozenset[Process]
    doubtful: bool
    earliest_end: float | None
    change: int | None
    now: float | None


def look(connection: sa.Connection, ids: Collection[str], *, host: str, uid: int) -> Look:
    """Return how the tickets ``ids`` stand and what may need somebody's care, by one statement."""
    rows = connection.execute(
        _look_statement(connection.dialect.name),
        {"ids": _many(connection, ids), "h": host, "u": uid},
    ).all()
    tickets: dict[str, TicketView] = {}
    found: dict[str, set[Process]] = {_WAITER: set(), _HOLDER: set()}
    doubtful, earliest, change, now = False, None, None, None
    for row in rows:
        if row.kind == _TICKET:
            tickets[row.id] = _view(row)
        elif row.kind in found:
            doubtful |= row.lease_state == LeaseState.SUSPECT.value
            if row.pid is not None:
                found[row.kind].add(Process(pid=row.pid, start=row.start, uid=uid))
        else:
            earliest, change, now = row.earliest, row.change, row.now
    return Look(
        tickets=tickets,
        waiters=frozenset(found[_WAITER]),
        holders=frozenset(found[_HOLDER]),
        doubtful=doubtful,
        earliest_end=earliest,
        change=change,
        now=now,
    )


def views(connection: sa.Connection, ids: Collection[str]) -> dict[str, TicketView]:
    """Return how the tickets ``ids`` stand; one that nobody presented is not among them."""
    rows = connection.execute(
        _ticket_statement(connection.dialect.name), {"ids": _many(connection, ids)}
    )
    return {row.id: _view(row) for row in rows}


def granted(connection: sa.Connection) -> dict[str, TicketView]:
    """Return every ticket that was granted something and did not claim it yet: a few rows."""
    return {row.id: _view(row) for row in connection.execute(_granted_statement())}


def listen_for(connection: sa.Connection, ids: Collection[str], channel: str) -> None:
    """Have the grants of ``ids`` told under ``channel``; on a server only."""
    statement = (
        gpu_request.update()
        .where(
            one_of(gpu_request.c.id, "ids", connection.dialect.name),
            gpu_request.c.channel.is_distinct_from(channel),
        )
        .values(channel=channel)
    )
    connection.execute(statement, {"ids": list(ids)})


def _view(row: Any) -> TicketView:
    return TicketView(
        state=RequestState(row.state),
        reason=row.reason,
        lease_state=LeaseState(row.lease_state) if row.lease_state else None,
    )


def _many(connection: sa.Connection, ids: Collection[str]) -> Any:
    return list(ids) if connection.dialect.name == "postgresql" else json.dumps(list(ids))


_LIVE_LEASE = sa.and_(
    lease.c.request_id == gpu_request.c.id, lease.c.state != LeaseState.RELEASED.value
)
_TICKET_COLUMNS = (
    gpu_request.c.id,
    gpu_request.c.state,
    gpu_request.c.reason,
    lease.c.state.label("lease_state"),
)


@cache
def _ticket_statement(dialect: str) -> sa.Select[Any]:
    return (sa.select(*_TICKET_COLUMNS).outerjoin_from(gpu_request, lease, _LIVE_LEASE)).where(
        one_of(gpu_request.c.id, "ids", dialect)
    )


@cache
def _granted_statement() -> sa.Select[Any]:
    return (
        sa.select(*_TICKET_COLUMNS)
        .join_from(lease, gpu_request, lease.c.request_id == gpu_request.c.id)
        .where(lease.c.state == LeaseState.GRANTED.value)
    )


@cache
def _look_statement(dialect: str) -> sa.CompoundSelect[Any]:
    return sa.union_all(_tickets(dialect), *_waiters(), _holders(), _facts(dialect))


_LOOK: dict[str, sa.types.TypeEngine[Any]] = {
    "id": sa.String(),
    "state": sa.String(),
    "reason": sa.String(),
    "lease_state": sa.String(),
    "pid": sa.BigInteger(),
    "start": sa.BigInteger(),
    "earliest": sa.Float(),
    "change": sa.BigInteger(),
    "now": sa.Float(),
}


def _columns(kind: str, **some: Any) -> list[Any]:
    """Return a row of a look: of a kind, with nothing where nothing is said."""
    return [
        sa.literal(kind, literal_execute=True).label("kind"),
        *(sa.cast(some.get(name, sa.null()), of).label(name) for name, of in _LOOK.items()),
    ]


def _tickets(dialect: str) -> sa.Select[Any]:
    found = _columns(
        _TICKET,
        id=gpu_request.c.id,
        state=gpu_request.c.state,
        reason=gpu_request.c.reason,
        lease_state=lease.c.state,
    )
    return (
        sa.select(*found)
        .outerjoin_from(gpu_request, lease, _LIVE_LEASE)
        .where(one_of(gpu_request.c.id, "ids", dialect))
    )


def _waiters() -> tuple[sa.Select[Any], sa.Select[Any]]:
    """Return the processes of this host and user that wait, and those that were granted."""
    mine = (gpu_request.c.waiter_uid == sa.bindparam("u"), gpu_request.c.host == sa.bindparam("h"))
    waiting = _columns(_WAITER, pid=gpu_request.c.waiter_pid, start=gpu_request.c.waiter_start)
    pending = gpu_request.c.state == RequestState.PENDING.value
    in_queue = sa.select(*waiting).where(pending, *mine).distinct()
    unclaimed = (
        sa.select(*waiting)
        .join_from(lease, gpu_request, lease.c.request_id == gpu_request.c.id)
        .where(lease.c.state == LeaseState.GRANTED.value, *mine)
    )
    return in_queue, unclaimed


def _holders() -> sa.Select[Any]:
    held = (LeaseState.ACTIVE.value, LeaseState.SUSPECT.value)
    found = _columns(
        _HOLDER, lease_state=lease.c.state, pid=lease.c.holder_pid, start=lease.c.holder_start
    )
    return sa.select(*found).where(
        lease.c.state.in_(held),
        lease.c.host == sa.bindparam("h"),
        lease.c.holder_uid == sa.bindparam("u"),
    )


def _facts(dialect: str) -> sa.Select[Any]:
    may_end = (LeaseState.GRANTED.value, LeaseState.ACTIVE.value)
    earliest = sa.select(sa.func.min(lease.c.expires_at)).where(lease.c.state.in_(may_end))
    change = sa.select(sa.func.min(gpu_change.c.sequence))
    clock: dict[str, Any] = {"now": SERVER_CLOCK} if dialect == "postgresql" else {}
    return sa.select(
        *_columns(
            "facts",
            earliest=earliest.scalar_subquery(),
            change=change.scalar_subquery(),
            **clock,
        )
    )
