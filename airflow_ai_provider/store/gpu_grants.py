"""Leases as they begin and end, in the caller's transaction; every change is guarded by its state.

Begin them only under the planner's lock (see ``gpu_turns``); they may end at any time.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.lease import LeaseRecord, Process, TaskIdentity
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState, sources
from airflow_ai_provider.store.gpu_rows import TASK_FIELDS
from airflow_ai_provider.store.gpu_server import (
    LEASE_FIELDS,
    begin_whole,
    boot_of_host,
    end_whole,
    ended_lease,
    new_fence,
    one_state_of,
)
from airflow_ai_provider.store.prepared import Prepared
from airflow_ai_provider.store.schema import device, gpu_request, lease, lease_device

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
    lease_id = uuid.uuid4().hex
    state = LeaseState.GRANTED if process is None else LeaseState.ACTIVE
    values = {
        "id": lease_id,
        "request_id": request_id,
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
        "memory_mib": memory_mib,
        **{name: getattr(task, name) for name in TASK_FIELDS},
    }
    fence = _write_lease(connection, names, values)
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


def _write_lease(connection: sa.Connection, names: Sequence[str], values: Mapping[str, Any]) -> int:
    if connection.dialect.name == "postgresql":
        epochs = begin_whole(connection, {**values, "names": list(names)}).scalars().all()
        return int(max(epochs))
    these = {"on_host": values["on_host"], "names": json.dumps(list(names))}
    fence = int(max(_next_epoch(connection, these).scalars().all()))
    _insert_lease(connection, {**values, "fence": fence})
    kept = {"lease_id": values["id"], "host": values["on_host"], "epoch": fence, "live": True}
    share = values["memory_mib"]
    _insert_devices.each(
        connection, [{**kept, "memory_mib": share, "device_uuid": name} for name in names]
    )
    return fence


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
    values = {"lease": lease_id, "fence_is": fence, "wall": wall, "why": reason}
    if connection.dialect.name == "postgresql":
        ended = end_whole(tuple(only))(connection, {**values, "to": request_state.value})
        return ended.first() is not None
    request_id = _end(tuple(only))(connection, values).scalar_one_or_none()
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
    return Prepared(lambda _dialect: ended_lease(only).returning(lease.c.request_id))


@cache
def _close(expected: tuple[RequestState, ...]) -> Prepared:
    return Prepared(
        lambda _dialect: (
            gpu_request.update()
            .where(
                gpu_request.c.id == sa.bindparam("request"),
                one_state_of(gpu_request.c.state, expected),
            )
            .values(
                state=sa.bindparam("to"),
                finished_at=sa.bindparam("wall"),
                reason=sa.bindparam("why"),
            )
        )
    )


def _build_insert_lease(_dialect: str) -> sa.Insert:
    values: dict[str, Any] = {name: sa.bindparam(name) for name in (*LEASE_FIELDS, "fence")}
    return lease.insert().values(boot_id=boot_of_host(), revoked=False, reason="", **values)


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


_next_epoch = Prepared(lambda dialect: new_fence(dialect).returning(device.c.epoch))
_insert_lease = Prepared(_build_insert_lease)
_insert_devices = Prepared(_build_insert_devices)
_claim = Prepared(_build_claim)
_free_devices = Prepared(_build_free_devices)
