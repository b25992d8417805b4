"""How a ticket is presented: by who may plan just then, and by who may not.

A new ticket changes nothing for those who wait already. So one that could not be served even if it
waited alone is only written down, whatever the length of the queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.devices import Device, Health
from airflow_ai_provider.core.gpu.lease import Host, LeaseRecord, Process, Ticket
from airflow_ai_provider.core.gpu.planner import Plan, Queued
from airflow_ai_provider.core.gpu.states import RequestState
from airflow_ai_provider.store.gpu_grants import Terms, begin_lease, claim_lease
from airflow_ai_provider.store.gpu_hosts import register
from airflow_ai_provider.store.gpu_queue import Turn, decide, plan_queue, take_back, take_changes
from airflow_ai_provider.store.gpu_rows import read_leases
from airflow_ai_provider.store.gpu_state import PoolState
from airflow_ai_provider.store.gpu_tickets import (
    WAITS,
    class_key,
    enter,
    estimate_for,
    leave_other_hosts,
    revoke_older,
)
from airflow_ai_provider.store.schema import gpu_request, lease

_LAST = 2**62  # a place behind all others


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What came of presenting a ticket; ``lease`` is live and may be another process's.

    ``left`` says that another plans for it, who may not have done so yet.
    """

    state: RequestState
    reason: str
    lease: LeaseRecord | None
    left: bool = False


class Asking:
    """One presentation of ``ticket``; ``registered`` are the devices known to be in the store."""

    def __init__(
        self,
        ticket: Ticket,
        *,
        process: Process,
        here: Host,
        devices: Sequence[Device] | None,
        ttl: float,
        registered: Sequence[Device] | None,
    ) -> None:
        self.ticket = ticket
        self.process = process
        self.here = here
        self.devices = devices
        self.ttl = ttl
        self.registered = registered

    @property
    def serial(self) -> str:
        """What may not be presented twice at once: all tries of a task, or the ticket."""
        task = self.ticket.task
        if task.is_known:
            return "\0".join([str(task.dag_id), str(task.run_id), str(task.task_id),
                              str(task.map_index)])  # fmt: skip
        return self.ticket.id

    @property
    def must_register(self) -> bool:
        """Whether this host's devices may not be in the store as they are."""
        if self.devices is None or self.registered is None:
            return self.devices is not None
        # of a partial view, what it says of the devices that it does not show is part of it, too
        return self.devices != self.registered or (
            getattr(self.devices, "__dict__", None) != getattr(self.registered, "__dict__", None)
        )

    def present(self, turn: Turn, *, first: bool = True) -> Asked:
        """Present the ticket in a transaction; ``first`` unless it was just written down."""
        if turn.planning:
            return self._plan(turn)
        return self._leave(turn, first=first)

    # --- by who has the planner's lock ------------------------------------------------------------

    def _plan(self, turn: Turn) -> Asked:
        pool, others_changed = self._newest(turn, self._look(turn))
        if pool.mine is RequestState.LEASED:
            if others_changed:
                plan_queue(turn, pool)
            return self._claim(turn) or self._as_it_stands(turn)
        waits = pool.mine in WAITS
        estimate = None if waits else estimate_for(turn.connection, self.ticket)
        made = decide(turn, pool, [self._alone(estimate)])
        if not others_changed and (why := made.refused.get(self.ticket.id)):
            self._enter(turn, pool, RequestState.REFUSED, why, estimate)
            return Asked(state=RequestState.REFUSED, reason=why, lease=None)
        if made.grants and not others_changed and not pool.queue and not waits:
            return self._serve(turn, pool, made, estimate)
        reason = None
        if pool.mine is not RequestState.PENDING and (waiting := made.waiting.get(self.ticket.id)):
            reason = waiting.value
        self._enter(turn, pool, RequestState.PENDING, reason, estimate)
        if made.grants or others_changed:
            plan_queue(turn, turn.look())
            return self._claim(turn) or self._as_it_stands(turn)
        if reason is None:
            return self._as_it_stands(turn)
        return Asked(state=RequestState.PENDING, reason=reason, lease=None)

    def _look(self, turn: Turn) -> PoolState:
        return turn.look(self.here.name, ticket=self.ticket.id, task=self.ticket.task)

    def _newest(self, turn: Turn, pool: PoolState) -> tuple[PoolState, bool]:
        """Bring the pool up to date; return it, and whether that may help others who wait."""
        connection, ticket = turn.connection, self.ticket
        changed = pool.changed or pool.ran_out
        if self._is_news(pool):
            changed |= register(connection, self.here, self.devices, wall=turn.wall)
        if self.devices is not None:
            self.registered = self.devices
        if pool.changed:
            take_changes(connection)
        if pool.ran_out:
            take_back(turn)
        if ticket.task.is_known and pool.others:
            changed |= bool(revoke_older(connection, ticket.task, turn.wall))
        if pool.mine is RequestState.LEASED:
            changed |= leave_other_hosts(connection, ticket.id, turn.wall, here=self.here.name)
        return (self._look(turn), True) if changed else (pool, False)

    def _is_news(self, pool: PoolState) -> bool:
        if pool.boot_id != self.here.boot_id:
            return True
        if self.devices is None:
            return False
        present = {d.uuid for d in pool.devices
                   if d.host == self.here.name and d.health is not Health.ABSENT}  # fmt: skip
        return self.must_register or any(d.uuid not in present for d in self.devices)

    def _alone(self, estimate: float | None) -> Queued:
        ticket = self.ticket
        return Queued(
            id=ticket.id,
            request=ticket.request,
            place=_LAST,
            host=ticket.host,
            estimate=estimate,
            class_key=class_key(ticket.request, host=ticket.host, task=ticket.task),
        )

    def _serve(self, turn: Turn, pool: PoolState, made: Plan, estimate: float | None) -> Asked:
        """Give a new ticket its devices at once, to hold if they are on this host."""
        (grant,) = made.grants
        self._enter(turn, pool, RequestState.LEASED, "", estimate)
        is_here = grant.devices[0][0] == self.here.name
        terms = Terms(
            devices=grant.devices,
            request_id=self.ticket.id,
            memory_mib=self.ticket.request.memory_mib,
            idle_limit=self.ticket.request.idle_limit,
            task=self.ticket.task,
            estimate=estimate,
            expires_at=turn.now + (self.ttl if is_here else self.ticket.claim_within),
            wall=turn.wall,
        )
        record = begin_lease(turn.connection, terms, process=self.process if is_here else None)
        return Asked(state=RequestState.LEASED, reason="", lease=record)

    def _enter(
        self,
        turn: Turn,
        pool: PoolState,
        state: RequestState,
        reason: str | None,
        estimate: float | None,
    ) -> None:
        enter(
            turn.connection, self.ticket, self.process, turn.wall,
            known=pool.mine, state=state, reason=reason, estimate=estimate,
        )  # fmt: skip

    # --- by who has not ---------------------------------------------------------------------------

    def _leave(self, turn: Turn, *, first: bool) -> Asked:
        connection, ticket = turn.connection, self.ticket
        if not first:
            return self._claim(turn) or self._as_it_stands(turn, left=True)
        revoked = ticket.task.is_known and revoke_older(connection, ticket.task, turn.wall)
        let_go = leave_other_hosts(connection, ticket.id, turn.wall, here=self.here.name)
        row = connection.execute(
            sa.select(gpu_request.c.state, gpu_request.c.host).where(gpu_request.c.id == ticket.id)
        ).first()
        known = RequestState(row.state) if row else None
        if known is RequestState.LEASED:
            if revoked:
                turn.leave()
            return self._claim(turn) or self._as_it_stands(turn, left=True)
        estimate = None if known in WAITS else estimate_for(connection, ticket)
        enter(connection, ticket, self.process, turn.wall, known=known, estimate=estimate)
        if (
            revoked
            or let_go
            or row is None
            or known is not RequestState.PENDING
            or (row.host != ticket.host)
        ):
            turn.leave()
        return self._as_it_stands(turn, left=True)

    # --- by both ----------------------------------------------------------------------------------

    def _claim(self, turn: Turn) -> Asked | None:
        claimed = claim_lease(
            turn.connection,
            self.ticket.id,
            here=self.here.name,
            process=self.process,
            ttl=self.ttl,
            now=turn.now,
            wall=turn.wall,
        )
        if claimed is None:
            return None
        (record,) = read_leases(turn.connection, lease.c.id == claimed)
        return Asked(state=RequestState.LEASED, reason="", lease=record)

    def _as_it_stands(self, turn: Turn, *, left: bool = False) -> Asked:
        row = turn.connection.execute(
            sa.select(gpu_request.c.state, gpu_request.c.reason).where(
                gpu_request.c.id == self.ticket.id
            )
        ).one()
        found = read_leases(turn.connection, lease.c.request_id == self.ticket.id)
        return Asked(
            state=RequestState(row.state),
            reason=row.reason,
            lease=found[0] if found else None,
            left=left,
        )
