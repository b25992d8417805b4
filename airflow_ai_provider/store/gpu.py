"""GPU slots in the store: the queue of tickets, and the leases that serve them.

Whoever asks or releases plans the queue in the same transaction, or leaves it to who does just
then (``gpu_turns``); waiters only read. Every change of a lease is guarded by its state and its
fence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.errors import LeaseLostError
from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.gpu.lease import Host, LeaseRecord, Process, Ticket, TicketView
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState, sources
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_asking import Asked, Asking
from airflow_ai_provider.store.gpu_grants import claim_lease, end_lease
from airflow_ai_provider.store.gpu_history import prune_now_and_then
from airflow_ai_provider.store.gpu_hosts import register
from airflow_ai_provider.store.gpu_queue import RESERVE_AFTER, Turn, step
from airflow_ai_provider.store.gpu_rows import LeaseClock, lease_clock, read_leases
from airflow_ai_provider.store.gpu_tickets import withdraw
from airflow_ai_provider.store.gpu_turns import Counts, Turns
from airflow_ai_provider.store.gpu_wait import views
from airflow_ai_provider.store.schema import gpu_request, host, lease

__all__ = ["Asked", "GpuStore"]


class GpuStore:
    """The GPU tables of a store, as seen from ``here``, the host that this process runs on."""

    def __init__(
        self,
        store: Store,
        here: Host,
        *,
        ttl: float = 60.0,
        reserve_after: float = RESERVE_AFTER,
        clock: LeaseClock = lease_clock,
    ) -> None:
        self.store = store
        self.here = here
        self.ttl = ttl
        self.clock = clock
        self._turns = Turns(store, clock=clock, reserve_after=reserve_after)
        self._registered: Sequence[Device] | None = None

    @property
    def counts(self) -> Counts:
        """How often this process planned, and for how many."""
        return self._turns.counts

    def ask(
        self, ticket: Ticket, *, process: Process, devices: Sequence[Device] | None = None
    ) -> Asked:
        """Present ``ticket``: queue it, or come back with it, and claim what it was granted.

        ``devices`` are those of this host; None leaves what is registered as it is. A try of a
        task revokes the older tries of the same task.

        :raises LeaseLostError: a newer try of the same task was here already.
        """
        asking = Asking(
            ticket, process=process, here=self.here, devices=devices, ttl=self.ttl,
            registered=self._registered,
        )  # fmt: skip
        asked = self._present(asking, insist=asking.must_register)
        if asked.left and asked.state is RequestState.PENDING:
            view = self.view(ticket.id)
            if view is not None and not view.may_be_claimed:
                return replace(asked, reason=view.reason)
            asked = self._present(asking, first=False)
        if asked.left and asked.state is RequestState.REFUSED:
            # planned by another, perhaps for want of this host's newest devices
            asked = self._present(asking, first=False, insist=True)
        self._registered = asking.registered
        return asked

    def claim(self, ticket_id: str, *, process: Process) -> LeaseRecord | None:
        """Take what the ticket was granted on this host; None when there is nothing to take."""
        with self.store.write() as connection:
            by_server = not self.store.is_sqlite and self.clock is lease_clock
            now, wall = (None, None) if by_server else self._turns.times(connection)
            claimed = claim_lease(
                connection,
                ticket_id,
                here=self.here.name,
                process=process,
                ttl=self.ttl,
                now=now,
                wall=wall,
            )
            return read_leases(connection, lease.c.id == claimed)[0] if claimed else None

    def view(self, ticket_id: str) -> TicketView | None:
        """Return how the ticket stands, reading only; None when nobody presented it."""
        with self.store.glance() as connection:
            return views(connection, [ticket_id]).get(ticket_id)

    def tick(self) -> None:
        """Take back what ran out and plan the queue, unless another plans just now."""
        self._turns.take(lambda turn: self._step(turn) if turn.planning else None)

    def renew(
        self, fences: Mapping[str, int], *, devices: Sequence[Device] | None = None
    ) -> set[str]:
        """Renew leases by id and fence, then plan; return the ids of those that were renewed.

        A suspect lease becomes active again, unless it was revoked: who renews knows that its
        holder lives. ``devices`` are those of this host, as ``ask`` takes them.
        """
        renewed: set[str] = set()

        def work(turn: Turn) -> bool:
            renewed.clear()
            turn.connection.execute(
                host.update().where(host.c.name == self.here.name).values(seen_at=turn.wall)
            )
            for lease_id, fence in sorted(fences.items()):
                if self._renew(turn, lease_id, fence):
                    renewed.add(lease_id)
            if turn.planning:
                register(turn.connection, self.here, devices, wall=turn.wall)
                self._step(turn)
            return not turn.planning

        self._turns.change(work, insist=devices is not None)
        return renewed

    def release(self, lease_id: str, fence: int, *, reason: str = "released") -> None:
        """End a lease whose processes are known to be gone, and plan the queue.

        :raises LeaseLostError: it is not live, or its fence is another.
        """

        def work(turn: Turn) -> bool:
            if not end_lease(turn.connection, lease_id, wall=turn.wall, reason=reason, fence=fence):
                raise _lost(lease_id, fence)
            prune_now_and_then(turn.connection, fence=fence, wall=turn.wall)
            return True

        self._turns.change(work)

    def doubt(self, lease_id: str, fence: int, *, reason: str) -> None:
        """Make a lease suspect for good: its holder is gone, its devices are not yet free.

        :raises LeaseLostError: it is neither active nor suspect, or its fence is another.
        """
        self._move(lease_id, fence, LeaseState.SUSPECT, reason)

    def leave(
        self, lease_id: str, fence: int, *, reason: str, left: Iterable[Process] = ()
    ) -> None:
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

        def work(turn: Turn) -> bool:
            withdraw(turn.connection, ticket_id, turn.wall, reason)
            return True  # others may go ahead now that were held back for it

        self._turns.change(work)

    def withdraw_waiter(self, waiter: Process, *, reason: str) -> None:
        """Take every ticket out that ``waiter``, a process of this host, waited with."""

        def work(turn: Turn) -> bool:
            waited_with = turn.connection.execute(
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
                withdraw(turn.connection, ticket_id, turn.wall, reason)
            return True

        self._turns.change(work)

    def leases(self, *, mine: bool = False, uid: int | None = None) -> list[LeaseRecord]:
        """Return the live leases; ``mine`` are those on this host."""
        where = []
        if mine:
            where.append(lease.c.host == self.here.name)
        if uid is not None:
            where.append(lease.c.holder_uid == uid)
        with self.store.read() as connection:
            return read_leases(connection, *where)

    def _present(self, asking: Asking, *, first: bool = True, insist: bool = False) -> Asked:
        def work(turn: Turn) -> Asked:
            return asking.present(turn, first=first)

        return self._turns.take(work, serial=asking.serial, insist=insist)

    def _step(self, turn: Turn) -> None:
        self.counts.plans += 1
        self.counts.grants += step(
            turn.connection,
            now=turn.now,
            wall=turn.wall,
            host_name=self.here.name,
            reserve_after=turn.reserve_after,
        )

    def _renew(self, turn: Turn, lease_id: str, fence: int) -> bool:
        moved = turn.connection.execute(
            lease.update()
            .where(
                lease.c.id == lease_id,
                lease.c.fence == fence,
                lease.c.state.in_([LeaseState.ACTIVE.value, LeaseState.SUSPECT.value]),
                ~lease.c.revoked,
            )
            .values(state=LeaseState.ACTIVE.value, expires_at=turn.now + self.ttl, reason="")
        )
        return moved.rowcount == 1

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
