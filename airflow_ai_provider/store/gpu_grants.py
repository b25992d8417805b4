"""Leases as they begin and end, in the caller's transaction; every change is guarded by its state.

Begin them only under the planner's lock (see ``gpu_turns``); they may end at any time.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.lease import LeaseRecord, Process, TaskIdentity
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState, sources
from airflow_ai_provider.store.engine import mark_news
from airflow_ai_provider.store.gpu_grant_statements import (
    claim_grant,
    close_from,
    end_from,
    free_devices,
    insert_devices,
    insert_lease,
    next_epoch,
    take_request,
)
from airflow_ai_provider.store.gpu_rows import TASK_FIELDS
from airflow_ai_provider.store.gpu_server import begin_whole, end_whole, grant_whole
from airflow_ai_provider.store.schema import gpu_request, lease

_END_FROM = sources(LeaseState.RELEASED)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a lease is begun with: ``devices`` of one host, as host and name.

    ``memory_mib`` is a share of one; None is whole devices. ``expires_at`` is on the lease clock.
    """

    devices: Sequence[tuple[str, str]]
    request_id: str
    memory_mib: int | None
    idle_limit: float | None
    task: TaskIdentity
    estimate: float | None
    expires_at: float
    wall: datetime
    lease_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def host(self) -> str:
        """The one host of the devices."""
        return self.devices[0][0]

    @property
    def names(self) -> list[str]:
        """The names of the devices, in order."""
        return sorted(name for _, name in self.devices)

    def values(self, process: Process | None) -> dict[str, Any]:
        """Return the parameters of the statements that write the lease."""
        state = LeaseState.GRANTED if process is None else LeaseState.ACTIVE
        return {
            "id": self.lease_id,
            "request_id": self.request_id,
            "state": state.value,
            "host": self.host,
            "on_host": self.host,
            "holder_pid": process and process.pid,
            "holder_start": process and process.start,
            "holder_uid": process and process.uid,
            "expires_at": self.expires_at,
            "estimate": self.estimate,
            "granted_at": self.wall,
            "activated_at": self.wall if process else None,
            "memory_mib": self.memory_mib,
            **{name: getattr(self.task, name) for name in TASK_FIELDS},
        }


def begin_lease(
    connection: sa.Connection, terms: Terms, *, process: Process | None = None
) -> LeaseRecord:
    """Write a lease; each of its devices gets the same new fence.

    With a ``process`` it is active at once, else it waits to be claimed.
    """
    values = terms.values(process)
    return LeaseRecord(
        id=terms.lease_id,
        request_id=terms.request_id,
        fence=_write_lease(connection, terms.names, values),
        state=LeaseState(values["state"]),
        host=terms.host,
        devices=tuple(terms.names),
        process=process,
        expires_at=terms.expires_at,
        revoked=False,
        reason="",
        task=terms.task,
        idle_limit=terms.idle_limit,
    )


def grant_lease(connection: sa.Connection, terms: Terms) -> bool:
    """Begin a lease for a request that waits, and tell who waits with it.

    False when it waits no more: it may have been withdrawn meanwhile.
    """
    values = terms.values(None)
    if connection.dialect.name == "postgresql":
        return grant_whole(connection, {**values, "names": terms.names}).first() is not None
    if take_request(connection, {"request_id": terms.request_id}).rowcount != 1:
        return False
    _write_lease(connection, terms.names, values)
    tell(connection, [terms.request_id])
    return True


def tell(connection: sa.Connection, ids: Collection[str]) -> None:
    """Tell those who wait with ``ids``: on a server each under the name that it gave, else all."""
    if not ids:
        return
    if connection.dialect.name != "postgresql":
        mark_news(connection)
        return
    told = gpu_request.c.channel.is_not(None)
    connection.execute(
        sa.select(sa.func.pg_notify(gpu_request.c.channel, gpu_request.c.id)).where(
            gpu_request.c.id.in_(ids), told
        )
    )


def _write_lease(connection: sa.Connection, names: Sequence[str], values: Mapping[str, Any]) -> int:
    if connection.dialect.name == "postgresql":
        epochs = begin_whole(connection, {**values, "names": list(names)}).scalars().all()
        return int(max(epochs))
    these = {"on_host": values["on_host"], "names": json.dumps(list(names))}
    fence = int(max(next_epoch(connection, these).scalars().all()))
    insert_lease(connection, {**values, "fence": fence})
    kept = {"lease_id": values["id"], "host": values["on_host"], "epoch": fence, "live": True}
    share = values["memory_mib"]
    insert_devices.each(
        connection, [{**kept, "memory_mib": share, "device_uuid": name} for name in names]
    )
    return fence


def claim_lease(
    connection: sa.Connection,
    request_id: str,
    *,
    here: str,
    process: Process,
    ttl: float,
    now: float | None,
    wall: datetime | None,
) -> str | None:
    """Make what ``request_id`` was granted on this host the process's; return the lease's id.

    Without ``now`` and ``wall`` it is done by the server's clock.
    """
    claimed: str | None = claim_grant(
        connection,
        {
            "request": request_id,
            "here": here,
            "pid": process.pid,
            "start": process.start,
            "uid": process.uid,
            "now": now,
            "ttl": ttl,
            "wall": wall,
        },
    ).scalar_one_or_none()
    return claimed


def end_lease(
    connection: sa.Connection,
    lease_id: str,
    *,
    wall: datetime,
    reason: str,
    request_state: RequestState = RequestState.DONE,
    fence: int | None = None,
    only: Sequence[LeaseState] = _END_FROM,
) -> bool:
    """Release a live lease and close its request; False when it is in no state of ``only``.

    False also when a ``fence`` is given and it has another.
    """
    values = {"lease": lease_id, "fence_is": fence, "wall": wall, "why": reason}
    if connection.dialect.name == "postgresql":
        ended = end_whole(tuple(only))(connection, {**values, "to": request_state.value})
        return ended.first() is not None
    request_id = end_from(tuple(only))(connection, values).scalar_one_or_none()
    if request_id is None:
        return False
    free_devices(connection, {"lease": lease_id})
    close_request(
        connection,
        request_id,
        request_state,
        wall=wall,
        reason=reason,
        expected=(RequestState.LEASED,),
    )
    return True


def end_grants(
    connection: sa.Connection,
    *where: sa.ColumnElement[bool],
    wall: datetime,
    reason: str,
    request_state: RequestState,
) -> list[str]:
    """Take back what was granted and is not claimed; return the ids of the requests."""
    found = connection.execute(
        sa.select(lease.c.id, lease.c.request_id).where(
            lease.c.state == LeaseState.GRANTED.value, *where
        )
    ).all()
    return [
        row.request_id
        for row in found
        if end_lease(
            connection,
            row.id,
            wall=wall,
            reason=reason,
            request_state=request_state,
            only=(LeaseState.GRANTED,),  # it may be claimed meanwhile
        )
    ]


def doubt_lease(
    connection: sa.Connection, *where: sa.ColumnElement[bool], reason: str
) -> list[str]:
    """Make active leases suspect: their devices stay taken. Return their ids."""
    states = [state.value for state in sources(LeaseState.SUSPECT)]
    return list(
        connection.execute(
            lease.update()
            .where(lease.c.state.in_(states), *where)
            .values(state=LeaseState.SUSPECT.value, reason=reason)
            .returning(lease.c.id)
        ).scalars()
    )


def close_request(
    connection: sa.Connection,
    request_id: str,
    state: RequestState,
    *,
    wall: datetime,
    reason: str,
    expected: tuple[RequestState, ...] = (RequestState.PENDING, RequestState.LAPSED),
) -> bool:
    """Take a request out of the queue; False when it is in none of the ``expected`` states."""
    moved = close_from(tuple(expected))(
        connection, {"request": request_id, "to": state.value, "wall": wall, "why": reason}
    )
    return bool(moved.rowcount == 1)
