"""Leases as they begin and end, in the caller's transaction; every change is guarded by its state.

Begin them only under the planner's lock (``gpu_rows.one_planner``); they may end at any time.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.lease import LeaseRecord, Process, TaskIdentity
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState, sources
from airflow_ai_provider.store.gpu_rows import TASK_FIELDS, one_of
from airflow_ai_provider.store.prepared import Prepared
from airflow_ai_provider.store.schema import device, gpu_request, host, lease, lease_device

_END_FROM = sources(LeaseState.RELEASED)


def begin_lease(
    connection: sa.Connection,
    devices: Sequence[tuple[str, str]],
    *,
    request_id: str,
    memory_mib: int | None,
    idle_limit: float | None,
    task: TaskIdentity,
    estimate: float | None,
    expires_at: float,
    wall: datetime,
    process: Process | None = None,
) -> LeaseRecord:
    """Write a lease of ``devices``, which are all of one host; each gets the same new fence.

    ``memory_mib`` is a share of one; None is whole devices. With a ``process`` the lease is active
    at once, else it waits to be claimed.
    """
    on_host = devices[0][0]
    names = sorted(name for _, name in devices)
    server = connection.dialect.name == "postgresql"
    these = {"on_host": on_host, "names": names if server else json.dumps(names)}
    fence = max(_next_epoch(connection, these).scalars().all())
    lease_id = uuid.uuid4().hex
    state = LeaseState.GRANTED if process is None else LeaseState.ACTIVE
    _insert_lease(
        connection,
        {
            "id": lease_id,
            "request_id": request_id,
            "fence": fence,
            "state": state.value,
            "host": on_host,
            "on_host": on_host,
            "holder_pid": process and process.pid,
            "holder_start": process and process.start,
            "holder_uid": process and process.uid,
            "expires_at": expires_at,
            "estimate": estimate,
            "granted_at": wall,
            "activated_at": wall if process else None,
            **{name: getattr(task, name) for name in TASK_FIELDS},
        },
    )
    _insert_devices.each(
        connection,
        [
            {
                "lease_id": lease_id,
                "host": on_host,
                "device_uuid": name,
                "epoch": fence,
                "memory_mib": memory_mib,
                "live": True,
            }
            for name in names
        ],
    )
    return LeaseRecord(
        id=lease_id,
        request_id=request_id,
        fence=fence,
        state=state,
        host=on_host,
        devices=tuple(names),
        process=process,
        expires_at=expires_at,
        revoked=False,
        reason="",
        task=task,
        idle_limit=idle_limit,
    )


def claim_lease(
    connection: sa.Connection,
    request_id: str,
    *,
    here: str,
    process: Process,
    expires_at: float,
    wall: datetime,
) -> str | None:
    """Make what ``request_id`` was granted on this host the process's; return the lease's id."""
    claimed: str | None = _claim(
        connection,
        {
            "request": request_id,
            "here": here,
            "pid": process.pid,
            "start": process.start,
            "uid": process.uid,
            "ends": expires_at,
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
    request_id = _end(tuple(only))(
        connection, {"lease": lease_id, "fence_is": fence, "wall": wall, "why": reason}
    ).scalar_one_or_none()
    if request_id is None:
        return False
    _free_devices(connection, {"lease": lease_id})
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
    moved = _close(tuple(expected))(
        connection, {"request": request_id, "to": state.value, "wall": wall, "why": reason}
    )
    return bool(moved.rowcount == 1)


@cache
def _end(only: tuple[LeaseState, ...]) -> Prepared:
    fence = sa.bindparam("fence_is", type_=sa.BigInteger)
    return Prepared(
        lambda _dialect: (
            lease.update()
            .where(
                lease.c.id == sa.bindparam("lease"),
                _one_state_of(lease.c.state, only),
                sa.or_(fence.is_(None), lease.c.fence == fence),
            )
            .values(
                state=LeaseState.RELEASED.value,
                released_at=sa.bindparam("wall"),
                reason=sa.bindparam("why"),
            )
            .returning(lease.c.request_id)
        )
    )


@cache
def _close(expected: tuple[RequestState, ...]) -> Prepared:
    return Prepared(
        lambda _dialect: (
            gpu_request.update()
            .where(
                gpu_request.c.id == sa.bindparam("request"),
                _one_state_of(gpu_request.c.state, expected),
            )
            .values(
                state=sa.bindparam("to"),
                finished_at=sa.bindparam("wall"),
                reason=sa.bindparam("why"),
            )
        )
    )


def _one_state_of(
    column: sa.ColumnElement[str], states: Sequence[LeaseState] | Sequence[RequestState]
) -> sa.ColumnElement[bool]:
    """Return that ``column`` is one of a few states; ``IN`` would be expanded at each execution."""
    return sa.or_(*(column == state.value for state in states))


def _build_next_epoch(dialect: str) -> sa.Update:
    other = device.alias("other")
    newest = (
        sa.select(sa.func.max(other.c.epoch))
        .where(other.c.host == sa.bindparam("on_host"), one_of(other.c.uuid, "names", dialect))
        .scalar_subquery()
    )
    return (
        device.update()
        .where(device.c.host == sa.bindparam("on_host"), one_of(device.c.uuid, "names", dialect))
        .values(epoch=newest + 1)
        .returning(device.c.epoch)
    )


def _build_insert_lease(_dialect: str) -> sa.Insert:
    boot_id = (
        sa.select(host.c.boot_id).where(host.c.name == sa.bindparam("on_host")).scalar_subquery()
    )
    given = (
        "id", "request_id", "fence", "state", "host", "holder_pid", "holder_start", "holder_uid",
        "expires_at", "estimate", "granted_at", "activated_at", *TASK_FIELDS,
    )  # fmt: skip
    values: dict[str, Any] = {name: sa.bindparam(name) for name in given}
    return lease.insert().values(boot_id=boot_id, revoked=False, reason="", **values)


def _build_insert_devices(_dialect: str) -> sa.Insert:
    return lease_device.insert().values(
        {column.name: sa.bindparam(column.name) for column in lease_device.columns}
    )


def _build_claim(_dialect: str) -> Any:
    return (
        lease.update()
        .where(
            lease.c.request_id == sa.bindparam("request"),
            lease.c.state == LeaseState.GRANTED.value,
            lease.c.host == sa.bindparam("here"),
        )
        .values(
            state=LeaseState.ACTIVE.value,
            holder_pid=sa.bindparam("pid"),
            holder_start=sa.bindparam("start"),
            holder_uid=sa.bindparam("uid"),
            expires_at=sa.bindparam("ends"),
            activated_at=sa.bindparam("wall"),
        )
        .returning(lease.c.id)
    )


def _build_free_devices(_dialect: str) -> sa.Update:
    of_lease = lease_device.c.lease_id == sa.bindparam("lease")
    return lease_device.update().where(of_lease).values(live=False)


_next_epoch = Prepared(_build_next_epoch)
_insert_lease = Prepared(_build_insert_lease)
_insert_devices = Prepared(_build_insert_devices)
_claim = Prepared(_build_claim)
_free_devices = Prepared(_build_free_devices)
