"""Leases on devices of a cluster, which pods hold: no keeper renews them, the cluster is asked.

What may be done to them differs from ``store.gpu`` in who claims: a task that will make a pod, on
whatever host it runs. Expiry means suspect here too, and never free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.errors import LeaseLostError
from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.gpu.lease import Host, LeaseRecord, Process, TaskIdentity, Ticket
from airflow_ai_provider.core.gpu.nodes import NodeFacts
from airflow_ai_provider.core.gpu.pod_moves import Move
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_asking import Asked
from airflow_ai_provider.store.gpu_grants import end_lease
from airflow_ai_provider.store.gpu_hosts import register
from airflow_ai_provider.store.gpu_queue import Turn
from airflow_ai_provider.store.gpu_rows import TASK_FIELDS, read_leases
from airflow_ai_provider.store.gpu_tickets import enter, estimate_for, revoke_older, withdraw
from airflow_ai_provider.store.gpu_turns import Turns
from airflow_ai_provider.store.schema import device, gpu_request, host, lease, lease_device

_NOBODY = Process(pid=0, start=0, uid=0)  # a ticket that a pod waits with has no process
_UNMADE = 120.0  # seconds that a claimed lease has for its pod to be made
_RENEWED = 300.0  # seconds that a look at the cluster is good for


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a look at the cluster found of leases, by id and fence; with a reason for each end.

    ``waits`` are the reasons of those whose pods wait for something, by id.
    """

    alive: Mapping[str, int]
    ended: Mapping[tuple[str, int], str]
    waits: Mapping[str, str] = field(default_factory=dict)
    moves: Sequence[Move] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing follows of it."""
        return not (self.alive or self.ended or self.moves)


class ClusterStore:
    """The leases of clusters in a store."""

    def __init__(self, store: Store, turns: Turns) -> None:
        self.store = store
        self._turns = turns

    def ask(self, ticket: Ticket) -> Asked:
        """Present ``ticket``, plan the queue, and claim what it was granted.

        A lease that was claimed before is returned again. Older tries of its task are revoked. One
        who comes back because its pod was taken away has its old place, and its old age.

        :raises LeaseLostError: a newer try of the same task was here already.
        """
        return self.ask_all([ticket])[0]

    def ask_all(self, tickets: Sequence[Ticket]) -> list[Asked]:
        """Present the tickets of one holder in one transaction; return what came of each.

        Those of a gang are so in the queue together, and claimed together.

        :raises LeaseLostError: a newer try of the same task was here already.
        """

        def work(turn: Turn) -> list[Asked]:
            for ticket in tickets:
                self._enter(turn, ticket)
            self._turns.plan(turn)
            return [self._claim(turn, ticket) for ticket in tickets]

        return self._turns.take(work, insist=True)

    def _enter(self, turn: Turn, ticket: Ticket) -> None:
        connection = turn.connection
        if ticket.task.is_known:
            revoke_older(connection, ticket.task, turn.wall)
        state = self._state(connection, ticket.id)
        if state is RequestState.DONE:
            state = self._reopen(connection, ticket.id)
        if state not in {RequestState.PENDING, RequestState.LEASED}:
            enter(
                connection, ticket, _NOBODY, turn.wall, known=state,
                estimate=estimate_for(connection, ticket),
            )  # fmt: skip

    def _claim(self, turn: Turn, ticket: Ticket) -> Asked:
        connection = turn.connection
        connection.execute(
            lease.update()
            .where(lease.c.request_id == ticket.id, lease.c.state == LeaseState.GRANTED.value)
            .values(
                state=LeaseState.ACTIVE.value,
                expires_at=turn.now + _UNMADE,
                activated_at=turn.wall,
            )
        )
        row = connection.execute(
            sa.select(gpu_request.c.state, gpu_request.c.reason).where(
                gpu_request.c.id == ticket.id
            )
        ).one()
        found = read_leases(connection, lease.c.request_id == ticket.id)
        mine = found[0] if found and not found[0].revoked else None
        return Asked(state=RequestState(row.state), reason=row.reason, lease=mine)

    def hold(self, record: LeaseRecord, pod: str, *, waits: str = "") -> None:
        """Write down which pod (namespace/name/uid) holds a lease, and what it ``waits`` for.

        :raises LeaseLostError: it is no longer the caller's: the pod must not run.
        """

        def work(turn: Turn) -> bool:
            moved = turn.connection.execute(
                _live(record.id, record.fence)
                .where(~lease.c.revoked)
                .values(
                    state=LeaseState.ACTIVE.value,
                    holder_pod=pod,
                    expires_at=turn.now + _RENEWED,
                    reason=waits,
                )
            )
            if moved.rowcount != 1:
                raise _lost(record)
            return False

        self._turns.change(work)

    def adopt(self, lease_id: str, fence: int, task: TaskIdentity) -> LeaseRecord | None:
        """Hand a live lease to another try of its task, whose pod it is; None if it has ended."""
        values = {name: getattr(task, name) for name in TASK_FIELDS}

        def work(turn: Turn) -> LeaseRecord | None:
            moved = turn.connection.execute(
                _live(lease_id, fence)
                .values(
                    state=LeaseState.ACTIVE.value, revoked=False, reason="",
                    expires_at=turn.now + _RENEWED, **values,
                )
                .returning(lease.c.request_id)
            ).scalar_one_or_none()  # fmt: skip
            if moved is None:
                return None
            turn.connection.execute(
                gpu_request.update().where(gpu_request.c.id == moved).values(**values)
            )
            return read_leases(turn.connection, lease.c.id == lease_id)[0]

        return self._turns.take(work)

    def back(self, ticket_id: str, *, reason: str) -> None:
        """Send a ticket back into the queue, in its place, without the lease it may have."""

        def work(turn: Turn) -> bool:
            for record in read_leases(turn.connection, lease.c.request_id == ticket_id):
                end_lease(
                    turn.connection, record.id, wall=turn.wall, reason=reason,
                    request_state=RequestState.LAPSED,
                )  # fmt: skip
            turn.connection.execute(
                gpu_request.update()
                .where(
                    gpu_request.c.id == ticket_id,
                    gpu_request.c.state.in_(
                        [RequestState.PENDING.value, RequestState.LAPSED.value]
                    ),
                )
                .values(state=RequestState.LAPSED.value, reason=reason[:500])
            )
            return True

        self._turns.change(work)

    def withdraw(self, ticket_id: str, *, reason: str) -> None:
        """Take a ticket out of the queue, with a lease that no pod holds yet.

        Those of its gang, which are of the same holder, go with it.
        """

        def work(turn: Turn) -> bool:
            for one in self._together(turn.connection, ticket_id):
                withdraw(turn.connection, one, turn.wall, reason)
                for record in read_leases(turn.connection, lease.c.request_id == one):
                    if record.pod is None:
                        end_lease(turn.connection, record.id, wall=turn.wall, reason=reason)
            return True

        self._turns.change(work)

    def _together(self, connection: sa.Connection, ticket_id: str) -> list[str]:
        mine = gpu_request.alias("mine")
        found = connection.execute(
            sa.select(gpu_request.c.id)
            .join(mine, mine.c.holder == gpu_request.c.holder)
            .where(mine.c.id == ticket_id)
            .order_by(gpu_request.c.id)
        ).scalars()
        return list(found)

    def doubt(self, record: LeaseRecord, *, reason: str) -> None:
        """Make a lease suspect: its pod is on its way out."""

        def work(turn: Turn) -> bool:
            turn.connection.execute(
                _live(record.id, record.fence).values(
                    state=LeaseState.SUSPECT.value, reason=reason[:500]
                )
            )
            return False

        self._turns.change(work)

    def leases(self, cluster: str) -> list[LeaseRecord]:
        """Return the live leases on devices of a cluster."""
        with self.store.read() as connection:
            return read_leases(connection, lease.c.host.startswith(f"{cluster}/"))

    def lease_of(self, mark: tuple[str, int]) -> LeaseRecord | None:
        """Return the live lease of an id and fence."""
        with self.store.read() as connection:
            found = read_leases(connection, lease.c.id == mark[0], lease.c.fence == mark[1])
            return found[0] if found else None

    def held_by(self, holder: str) -> list[LeaseRecord]:
        """Return the live leases of all tickets of a holder."""
        mine = sa.select(gpu_request.c.id).where(gpu_request.c.holder == holder)
        with self.store.read() as connection:
            return read_leases(connection, lease.c.request_id.in_(mine))

    def node_of(self, record: LeaseRecord) -> NodeFacts | None:
        """Return the node whose devices a lease has now: it follows its pod."""
        with self.store.read() as connection:
            found = connection.execute(
                sa.select(device.c.node)
                .join(
                    lease_device,
                    sa.and_(
                        lease_device.c.host == device.c.host,
                        lease_device.c.device_uuid == device.c.uuid,
                    ),
                )
                .where(lease_device.c.lease_id == record.id)
            ).scalars()
            return next((NodeFacts.of(document) for document in found if document), None)

    def ended(self, marks: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        """Return which of ``marks`` are of leases that this store knows and that have ended.

        One that it does not know may be another store's.
        """
        if not marks:
            return set()
        with self.store.read() as connection:
            rows = connection.execute(
                sa.select(lease.c.id, lease.c.fence).where(
                    lease.c.id.in_([lease_id for lease_id, _ in marks]),
                    lease.c.state == LeaseState.RELEASED.value,
                )
            ).all()
        return {(row.id, row.fence) for row in rows}.intersection(marks)

    def hosts(self, cluster: str) -> set[str]:
        """Return the hosts of a cluster whose devices are registered."""
        with self.store.read() as connection:
            rows = connection.execute(
                sa.select(host.c.name)
                .join(device, device.c.host == host.c.name)
                .where(host.c.name.startswith(f"{cluster}/"), device.c.health != "absent")
                .distinct()
            )
            return set(rows.scalars())

    def settle(
        self, devices: Mapping[str, Sequence[Device]], judged: Judged, *, boot_id: str
    ) -> bool:
        """Write down what a look at the cluster found; whether the planner may decide otherwise."""

        def work(turn: Turn) -> bool:
            changed = False
            for name in sorted(devices):
                here = Host(name=name, boot_id=boot_id)
                changed |= register(turn.connection, here, devices[name], wall=turn.wall)
            for move in judged.moves:
                changed |= self._move(turn.connection, move)
            for (lease_id, fence), reason in sorted(judged.ended.items()):
                changed |= end_lease(
                    turn.connection, lease_id, wall=turn.wall, reason=reason, fence=fence
                )
            for lease_id, fence in sorted(judged.alive.items()):
                self._see(turn, lease_id, fence, judged.waits.get(lease_id, ""))
            results.append(changed)
            return changed

        results: list[bool] = []
        if not devices and judged.is_empty:
            return False
        self._turns.change(work)
        return results[-1]

    def _see(self, turn: Turn, lease_id: str, fence: int, waits: str) -> None:
        """Renew a lease whose pod was seen; one that was revoked stays in doubt."""
        turn.connection.execute(
            _live(lease_id, fence)
            .where(~lease.c.revoked)
            .values(state=LeaseState.ACTIVE.value, expires_at=turn.now + _RENEWED, reason=waits)
        )

    def _move(self, connection: sa.Connection, move: Move) -> bool:
        """Let a lease follow its pod; not where another was given these devices just now."""
        try:
            with connection.begin_nested():
                moved = connection.execute(
                    _live(move.lease_id, move.fence)
                    .where(lease.c.host == move.was)
                    .values(host=move.host, reason="")
                )
                if moved.rowcount != 1:
                    return False
                mine = sa.and_(
                    lease_device.c.lease_id == move.lease_id, lease_device.c.host == move.was
                )
                names = connection.execute(
                    sa.select(lease_device.c.device_uuid).where(mine, lease_device.c.live)
                ).scalars()
                for old, new in zip(sorted(names.all()), move.devices, strict=True):
                    connection.execute(
                        lease_device.update()
                        .where(mine, lease_device.c.device_uuid == old)
                        .values(host=move.host, device_uuid=new)
                    )
        except sa.exc.IntegrityError:
            return False
        return True

    def _reopen(self, connection: sa.Connection, ticket_id: str) -> RequestState:
        """Make the ticket of a lease that has ended one that has its place still."""
        connection.execute(
            gpu_request.update()
            .where(gpu_request.c.id == ticket_id, gpu_request.c.state == RequestState.DONE.value)
            .values(state=RequestState.LAPSED.value, finished_at=None)
        )
        return RequestState.LAPSED

    def _state(self, connection: sa.Connection, ticket_id: str) -> RequestState | None:
        found = connection.execute(
            sa.select(gpu_request.c.state).where(gpu_request.c.id == ticket_id)
        ).scalar_one_or_none()
        return None if found is None else RequestState(found)


_HELD = [LeaseState.ACTIVE.value, LeaseState.SUSPECT.value]


def _live(lease_id: str, fence: int) -> Any:
    return lease.update().where(
        lease.c.id == lease_id, lease.c.fence == fence, lease.c.state.in_(_HELD)
    )


def _lost(record: LeaseRecord) -> LeaseLostError:
    return LeaseLostError(
        f"The lease {record.id} with fence {record.fence} was lost before its pod was made.",
        remedy="Ask again.",
        lease_id=record.id,
        fence=record.fence,
    )
