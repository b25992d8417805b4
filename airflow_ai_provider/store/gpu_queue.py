"""One step of the queue, inside the caller's transaction: what ran out, then who is next.

Every function here runs in a transaction of ``Store.write`` that has the planner's lock
(see ``gpu_turns``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gpu import planner
from airflow_ai_provider.core.gpu.planner import Plan, Queued, WaitReason
from airflow_ai_provider.core.gpu.states import RequestState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_grants import (
    Terms,
    close_request,
    doubt_lease,
    end_grants,
    end_lease,
    grant_lease,
    tell,
)
from airflow_ai_provider.store.gpu_rows import LeaseClock, lease_clock, read_quotas, task_of
from airflow_ai_provider.store.gpu_state import PoolState, queued_of, read_pool, read_queue
from airflow_ai_provider.store.schema import gpu_change, gpu_request, host, lease

__all__ = [
    "Turn",
    "close_request",
    "decide",
    "doubt_lease",
    "end_lease",
    "expect",
    "plan_queue",
    "step",
    "turn_of",
]

RESERVE_AFTER = 600.0  # seconds


@dataclass(kw_only=True)
class Turn:
    """A transaction on the pool: its connection and its time, by both clocks.

    ``planning`` says that it has the planner's lock, ``left`` that it left a change to another.
    """

    connection: sa.Connection
    now: float
    wall: datetime
    reserve_after: float = RESERVE_AFTER
    planning: bool = True
    left: bool = False

    def leave(self) -> None:
        """Have the queue planned by whoever plans next."""
        self.connection.execute(gpu_change.insert())
        self.left = True

    def look(self, here: str = "", **who: Any) -> PoolState:
        """Return the pool as it stands."""
        return read_pool(self.connection, here=here, now=self.now, wall=self.wall, **who)


def turn_of(
    store: Store,
    connection: sa.Connection,
    *,
    clock: LeaseClock = lease_clock,
    reserve_after: float = RESERVE_AFTER,
) -> Turn:
    """Return a turn at the clocks' time now, for one who only looks or has the planner's lock."""
    return Turn(
        connection=connection,
        now=clock(connection),
        wall=store.utcnow(connection),
        reserve_after=reserve_after,
    )


def step(
    connection: sa.Connection,
    *,
    now: float,
    wall: datetime,
    host_name: str,
    reserve_after: float = RESERVE_AFTER,
) -> int:
    """Take back what ran out, plan the whole queue, and write the plan down.

    Return how many were granted something. The host ``host_name`` is seen.
    """
    turn = Turn(connection=connection, now=now, wall=wall, reserve_after=reserve_after)
    connection.execute(
        host.update().where(host.c.name == host_name).values(planned_at=now, seen_at=wall)
    )
    take_changes(connection)
    take_back(turn)
    return plan_queue(turn, turn.look(), thorough=True)


def take_changes(connection: sa.Connection) -> None:
    """Take the changes that were left to be planned, before what they changed is read."""
    connection.execute(gpu_change.delete())


def take_back(turn: Turn) -> None:
    """Make what was not renewed suspect, and take back what was not claimed."""
    ran_out = lease.c.expires_at <= turn.now
    doubt_lease(turn.connection, ran_out, reason="not renewed in time")
    lapsed = end_grants(
        turn.connection,
        ran_out,
        wall=turn.wall,
        reason="granted and not claimed in time",
        request_state=RequestState.LAPSED,
    )
    tell(turn.connection, lapsed)


def decide(turn: Turn, pool: PoolState, queue: Iterable[Queued]) -> Plan:
    """Return what the planner makes of ``queue``; nothing is written."""
    return planner.plan(pool.devices, pool.holdings, queue, **_terms(turn, pool))


def expect(turn: Turn, pool: PoolState, queue: Iterable[Queued]) -> dict[str, float | None]:
    """Return in how many seconds each of ``queue`` may start; None where nobody can know."""
    return planner.forecast(pool.devices, pool.holdings, queue, **_terms(turn, pool))


def _terms(turn: Turn, pool: PoolState) -> dict[str, Any]:
    return {
        "now": turn.now,
        "quotas": read_quotas(turn.connection) if pool.quotas else (),
        "reserve_after": turn.reserve_after,
    }


def plan_queue(turn: Turn, pool: PoolState, *, thorough: bool = False) -> int:
    """Plan the queue and write the plan down; return how many were granted something.

    Of each class only one more is read than could be granted now; when all of these were, the next
    are looked at. ``thorough`` sets the reasons of those right, too, that were not read.
    """
    granted = 0
    while True:
        rows = read_queue(turn.connection, oldest=pool.idle + 1)
        if not rows:
            return granted
        made = decide(turn, pool, [queued_of(row, wall=turn.wall) for row in rows])
        done = _write_grants(turn, made, {row.id: row for row in rows})
        granted += len(done)
        for request_id, why in made.refused.items():
            close_request(
                turn.connection, request_id, RequestState.REFUSED, wall=turn.wall, reason=why
            )
        tell(turn.connection, made.refused.keys())
        settled = done | made.refused.keys()
        if not _more(rows, settled):
            _explain(turn.connection, rows, made.waiting, thorough=thorough)
            return granted
        pool = turn.look()


def _write_grants(turn: Turn, made: Plan, rows: Mapping[str, Any]) -> set[str]:
    done = set()
    for grant in made.grants:
        row = rows[grant.request_id]
        terms = Terms(
            devices=grant.devices,
            request_id=row.id,
            memory_mib=row.spec.get("memory_mib"),
            idle_limit=row.spec.get("idle_limit"),
            task=task_of(row),
            estimate=row.estimate,
            expires_at=turn.now + row.claim_within,
            wall=turn.wall,
        )
        if grant_lease(turn.connection, terms):
            done.add(row.id)
    return done


def _more(rows: Sequence[Any], settled: set[str]) -> bool:
    """Whether a class had all that was read of it settled, and more of it wait."""
    read: dict[str, list[Any]] = {}
    for row in rows:
        read.setdefault(row.class_key, []).append(row)
    return any(
        same[0].alike > len(same) and all(row.id in settled for row in same)
        for same in read.values()
    )


def _explain(
    connection: sa.Connection,
    rows: Sequence[Any],
    waiting: Mapping[str, WaitReason],
    *,
    thorough: bool,
) -> None:
    """Write the reasons that changed; those of a class that were not read get the last one's."""
    changed: dict[str, list[str]] = {}
    last: dict[str, Any] = {}
    for row in rows:
        if row.id in waiting:
            last[row.class_key] = row
            if row.reason != waiting[row.id].value:
                changed.setdefault(waiting[row.id].value, []).append(row.id)
    for reason, ids in changed.items():
        connection.execute(_reason(reason).where(gpu_request.c.id.in_(ids)))
    for key, row in last.items():
        reason = waiting[row.id].value
        if row.alike > 1 and (thorough or row.reason != reason):
            younger = gpu_request.c.place > row.place
            connection.execute(_reason(reason).where(gpu_request.c.class_key == key, younger))


def _reason(reason: str) -> sa.Update:
    return (
        gpu_request.update()
        .where(
            gpu_request.c.state == RequestState.PENDING.value,
            gpu_request.c.reason != reason,
        )
        .values(reason=reason)
    )
