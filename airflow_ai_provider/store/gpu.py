"""GPU slots in the store: the queue of tickets, and the leases that serve them.

Whoever asks or releases plans the whole queue in the same transaction; waiters only read. Every
change of a lease is guarded by its state and its fence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.errors import LeaseLostError
from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.gpu.lease import (
    Host,
    LeaseRecord,
    Process,
    Ticket,
    TicketView,
)
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState, sources
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_hosts import register
from airflow_ai_provider.store.gpu_queue import end_lease, step
from airflow_ai_provider.store.gpu_rows import (
    LeaseClock,
    lease_clock,
    one_planner,
    read_leases,
)
from airflow_ai_provider.store.gpu_tickets import (
    enter,
    leave_other_hosts,
    revoke_older,
    withdraw,
)
from airflow_ai_provider.store.schema import gpu_request, host, lease


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What came of presenting a ticket; ``lease`` is live and may be another process's."""

    state: RequestState
    reason: str
    lease: LeaseRecord | None


class GpuStore:
    """The GPU tables of a store, as seen from ``here``, the host that this process runs on."""

    def __init__(
        self, store: Store, here: Host, *, ttl: float = 60.0, clock: LeaseClock = lease_clock
    ) -> None:
        self.store = store
        self.here = here
        self.ttl = ttl
        self.clock = clock

    def ask(
        self, ticket: Ticket, *, process: Process, devices: Sequence[Device] | None = None
    ) -> Asked:
        """Present ``ticket``: queue it, or come back with it, and claim what it was granted.

        ``devices`` are those of this host; None leaves what is registered as it is. A try of a
        task revokes the older tries of the same task.

        :raises LeaseLostError: a newer try of the same task was here already.
        """
        with self.store.write() as connection:
            now, wall = self._begin(connection, devices)
            if ticket.task.is_known:
                revoke_older(connection, ticket.task, wall)
            leave_other_hosts(connection, ticket.id, wall, here=self.here.name)
            enter(connection, ticket, process, wall)
            step(connection, now=now, wall=wall, host_name=self.here.name)
            self._claim(connection, ticket.id, process, now, wall)
            row = connection.execute(
                sa.select(gpu_request.c.state, gpu_request.c.reason).where(
                    gpu_request.c.id == ticket.id
                )
            ).one()
            found = read_leases(connection, lease.c.request_id == ticket.id)
        return Asked(
            state=RequestState(row.state), reason=row.reason, lease=found[0] if found else None
        )

    def view(self, ticket_id: str) -> TicketView | None:
        """Return how the ticket stands, reading only; None when nobody presented it."""
        planned = sa.select(sa.func.max(host.c.planned_at)).scalar_subquery()
        statement = (
            sa.select(
                gpu_request.c.state, gpu_request.c.reason, lease.c.state.label("lease"), planned
            )
            .outerjoin(
                lease,
                sa.and_(
                    lease.c.request_id == gpu_request.c.id,
                    lease.c.state != LeaseState.RELEASED.value,
                ),
            )
            .where(gpu_request.c.id == ticket_id)
        )
        with self.store.read() as connection:
            row = connection.execute(statement).first()
            now = self.clock(connection)
        if row is None:
            return None
        state, reason, lease_state, planned_at = row
        return TicketView(
            state=RequestState(state),
            reason=reason,
            lease_state=LeaseState(lease_state) if lease_state else None,
            plan_age=None if planned_at is None else now - planned_at,
        )

    def tick(self) -> None:
        """Take back what ran out and plan the queue."""
        with self.store.write() as connection:
            now, wall = self._begin(connection)
            step(connection, now=now, wall=wall, host_name=self.here.name)

    def renew(self, fences: Mapping[str, int]) -> set[str]:
        """Renew leases by id and fence, then plan; return the ids of those that were renewed.

        A suspect lease becomes active again, unless it was revoked: who renews knows that its
        holder lives.
        """
        renewed: set[str] = set()
        with self.store.write() as connection:
            now, wall = self._begin(connection)
            for lease_id, fence in fences.items():
                moved = connection.execute(
                    lease.update()
                    .where(
                        lease.c.id == lease_id,
                        lease.c.fence == fence,
                        lease.c.state.in_([LeaseState.ACTIVE.value, LeaseState.SUSPECT.value]),
                        ~lease.c.revoked,
                    )
                    .values(state=LeaseState.ACTIVE.value, expires_at=now + self.ttl, reason="")
                )
                if moved.rowcount:
                    renewed.add(lease_id)
            step(connection, now=now, wall=wall, host_name=self.here.name)
        return renewed

    def release(self, lease_id: str, fence: int, *, reason: str = "released") -> None:
        """End a lease whose processes are known to be gone, and plan the queue.

        :raises LeaseLostError: it is not live, or its fence is another.
        """
        with self.store.write() as connection:
            now, wall = self._begin(connection)
            if not end_lease(connection, lease_id, wall=wall, reason=reason, fence=fence):
                raise _lost(lease_id, fence)
            step(connection, now=now, wall=wall, host_name=self.here.name)

    def doubt(self, lease_id: str, fence: int, *, reason: str) -> None:
        """Make a lease suspect for good: its holder is gone, its devices are not yet free.

        :raises LeaseLostError: it is neither active nor suspect, or its fence is another.
        """
        self._move(lease_id, fence, LeaseState.SUSPECT, reason)

    def leave(self, lease_id: str, fence: int, *, reason: str, left: Iterable[Process]) -> None:
        """Do as ``doubt`` for a holder that released, lives on, and left processes running.

        They are written down: a keeper that takes the lease over could not tell them from others.

        :raises LeaseLostError: as ``doubt``.
        """
        behind = [[process.pid, process.start, process.uid] for process in left]
        self._move(lease_id, fence, LeaseState.SUSPECT, reason, holder_pid=None, left_behind=behind)

    def quarantine(self, lease_id: str, fence: int, *, reason: str) -> None:
        """Set a suspect lease aside: what it left cannot be ended.

        :raises LeaseLostError: it is not suspect, or its fence is another.
        """
        self._move(lease_id, fence, LeaseState.QUARANTINED, reason)

    def withdraw(self, ticket_id: str, *, reason: str) -> None:
        """Take a ticket out of the queue, with what it was granted and nobody claimed."""
        with self.store.write() as connection:
            now, wall = self._begin(connection)
            withdraw(connection, ticket_id, wall, reason)
            step(connection, now=now, wall=wall, host_name=self.here.name)

    def withdraw_waiter(self, waiter: Process, *, reason: str) -> None:
        """Take every ticket out that ``waiter``, a process of this host, waited with."""
        with self.store.write() as connection:
            now, wall = self._begin(connection)
            waited_with = connection.execute(
                sa.select(gpu_request.c.id).where(
                    gpu_request.c.host == self.here.name,
                    gpu_request.c.waiter_pid == waiter.pid,
                    gpu_request.c.waiter_start == waiter.start,
                    gpu_request.c.state.in_(
                        [RequestState.PENDING.value, RequestState.LEASED.value]
                    ),
                )
            ).scalars()
            for ticket_id in waited_with.all():
                withdraw(connection, ticket_id, wall, reason)
            step(connection, now=now, wall=wall, host_name=self.here.name)

    def leases(self, *, mine: bool = False, uid: int | None = None) -> list[LeaseRecord]:
        """Return the live leases; ``mine`` are those on this host."""
        where = []
        if mine:
            where.append(lease.c.host == self.here.name)
        if uid is not None:
            where.append(lease.c.holder_uid == uid)
        with self.store.read() as connection:
            return read_leases(connection, *where)

    def _begin(
        self, connection: sa.Connection, devices: Sequence[Device] | None = None
    ) -> tuple[float, datetime]:
        one_planner(connection)
        wall = self.store.utcnow(connection)
        register(connection, self.here, devices, wall=wall)
        return self.clock(connection), wall

    def _claim(
        self,
        connection: sa.Connection,
        ticket_id: str,
        process: Process,
        now: float,
        wall: datetime,
    ) -> None:
        connection.execute(
            lease.update()
            .where(
                lease.c.request_id == ticket_id,
                lease.c.state == LeaseState.GRANTED.value,
                lease.c.host == self.here.name,
            )
            .values(
                state=LeaseState.ACTIVE.value,
                holder_pid=process.pid,
                holder_start=process.start,
                holder_uid=process.uid,
                expires_at=now + self.ttl,
                activated_at=wall,
            )
        )

    def _move(
        self, lease_id: str, fence: int, target: LeaseState, reason: str, **values: Any
    ) -> None:
        states = {*sources(target)} | ({target} if target is LeaseState.SUSPECT else set())
        with self.store.write() as connection:
            moved = connection.execute(
                lease.update()
                .where(
                    lease.c.id == lease_id,
                    lease.c.fence == fence,
                    lease.c.state.in_([s.value for s in states]),
                )
                .values(state=target.value, reason=reason, revoked=True, **values)
            )
            if moved.rowcount != 1:
                raise _lost(lease_id, fence)


def _lost(lease_id: str, fence: int) -> LeaseLostError:
    return LeaseLostError(
        f"The lease {lease_id} with fence {fence} is no longer live.",
        remedy="Treat the work done under it as void and ask again.",
        lease_id=lease_id,
        fence=fence,
    )
