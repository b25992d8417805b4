"""Whose turn it is to plan: one at a time, and on a server nobody waits for it.

On SQLite whoever writes has the store's file lock, and plans. On a server a change is made without
the planner's lock; who wins the lock plans in the same transaction, and who does not leaves a mark
(``gpu_change``) that whoever plans finds: before its plan, or in the look that follows its commit
(flat combining, Hendler et al. 2010). So one commit plans for many, and none waits in line.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any, TypeVar

import sqlalchemy as sa

from airflow_ai_provider.core.errors import StoreUnavailableError
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_queue import (
    RESERVE_AFTER,
    Turn,
    plan_queue,
    take_back,
    take_changes,
)
from airflow_ai_provider.store.gpu_rows import PLANNER_LOCK, LeaseClock, lease_clock
from airflow_ai_provider.store.schema import gpu_change

log = logging.getLogger(__name__)

_TICKET_LOCK = 0x61695F74  # "ai_t"
_PASSES = 50  # then the watches of those who wait notice what is left
_ATTEMPTS = 3

_Result = TypeVar("_Result")


@dataclass
class Counts:
    """What this process did so far; ``plans`` counts transactions that planned the queue."""

    plans: int = 0
    grants: int = 0


class Turns:
    """The turns of one who uses the pool of ``store``."""

    def __init__(
        self,
        store: Store,
        *,
        clock: LeaseClock = lease_clock,
        reserve_after: float = RESERVE_AFTER,
    ) -> None:
        self.store = store
        self.clock = clock
        self.reserve_after = reserve_after
        self.counts = Counts()

    def change(self, work: Callable[[Turn], bool], *, insist: bool = False) -> None:
        """Do ``work`` in a transaction; when it says so, the queue is planned, now or soon.

        With ``insist`` wait for the planner's lock.
        """

        def once(turn: Turn) -> None:
            if work(turn):
                if turn.planning:
                    self.plan(turn)
                else:
                    turn.leave()

        self.take(once, insist=insist)

    def decide(self, work: Callable[[Turn], _Result]) -> _Result:
        """Return what ``work`` returns, and have the whole queue planned in its transaction.

        For what people decide: it waits for the planner's lock, and every reason is set right.
        """

        def once(turn: Turn) -> _Result:
            result = work(turn)
            self.plan(turn, thorough=True)
            return result

        return self.take(once, insist=True)

    def take(
        self, work: Callable[[Turn], _Result], *, serial: str = "", insist: bool = False
    ) -> _Result:
        """Return what ``work`` returns from a transaction of its own, and see that all is planned.

        Two transactions of the same ``serial`` are one after another. A deadlock, which the server
        ends, is tried again.
        """
        attempt = partial(self._take, work, serial, insist)
        for _ in range(_ATTEMPTS):
            if (taken := _unless_deadlock(attempt)) is not None:
                return taken[0]
        return attempt()

    def plan(self, turn: Turn, *, thorough: bool = False) -> None:
        """Plan the queue with all that changed."""
        pool = turn.look()
        if pool.changed:
            take_changes(turn.connection)
        if pool.ran_out:
            take_back(turn)
        if pool.changed or pool.ran_out:
            pool = turn.look()
        if pool.queue:
            self.counts.plans += 1
            self.counts.grants += plan_queue(turn, pool, thorough=thorough)

    def _take(self, work: Callable[[Turn], _Result], serial: str, insist: bool) -> _Result:
        with self.store.write() as connection:
            turn = self._begin(connection, serial, insist)
            result = work(turn)
        if not self.store.is_sqlite:
            self._look_after(turn)
        return result

    def _look_after(self, turn: Turn) -> None:
        """See to what was left to another, or by another to this one: what is done is done."""
        try:
            if turn.left or (turn.planning and self._is_left()):
                self._combine()
        except StoreUnavailableError as error:
            log.warning("The queue may not be planned yet; who waits will see to it: %s", error)

    def times(self, connection: sa.Connection) -> tuple[float, datetime]:
        """Return the lease clock's time and the wall clock's."""
        return self._both(connection, self.store.utcnow(connection))

    def _both(self, connection: sa.Connection, wall: datetime) -> tuple[float, datetime]:
        if not self.store.is_sqlite and self.clock is lease_clock:
            return wall.timestamp(), wall  # the server's clock is both
        return self.clock(connection), wall

    def _begin(self, connection: sa.Connection, serial: str, insist: bool) -> Turn:
        planning = True
        if self.store.is_sqlite:
            now, wall = self.times(connection)
        else:
            key = zlib.crc32(serial.encode()) - 2**31 if serial else None
            row = connection.execute(_locks(bool(serial), insist), {"serial": key}).one()
            planning = row.planning is not False
            now, wall = self._both(connection, row.wall)
        return Turn(
            connection=connection,
            now=now,
            wall=wall,
            reserve_after=self.reserve_after,
            planning=planning,
        )

    def _combine(self) -> None:
        for _ in range(_PASSES):
            with self.store.write() as connection:
                turn = self._begin(connection, "", insist=False)
                if not turn.planning:
                    return  # who has the lock looks once more after its commit
                take_changes(connection)
                self.plan(turn)
            if not self._is_left():
                return

    def _is_left(self) -> bool:
        with self.store.glance() as connection:
            return connection.execute(_any_change()).first() is not None


def _unless_deadlock(attempt: Callable[[], _Result]) -> tuple[_Result] | None:
    try:
        return (attempt(),)
    except StoreUnavailableError as error:
        if error.facts.get("deadlock"):
            return None
        raise


@cache
def _locks(serial: bool, insist: bool) -> sa.Select[Any]:
    columns: list[Any] = []
    if serial:
        mine = sa.bindparam("serial", type_=sa.Integer)
        columns.append(sa.func.pg_advisory_xact_lock(_TICKET_LOCK, mine).label("serial"))
    lock = sa.func.pg_advisory_xact_lock if insist else sa.func.pg_try_advisory_xact_lock
    columns.append(lock(sa.literal(PLANNER_LOCK, sa.BigInteger)).label("planning"))
    return sa.select(*columns, sa.func.clock_timestamp().label("wall"))


@cache
def _any_change() -> sa.Select[Any]:
    return sa.select(gpu_change.c.sequence).limit(1)
