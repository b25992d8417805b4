"""One step of the queue, inside the caller's transaction: what ran out, then who is next.

Every function here runs in a transaction of ``Store.write`` that called ``one_planner`` first.
"""

from __future__ import annotations

import uuid
from datetime import datetime

import sqlalchemy as sa

from airflow_ai_provider.core.gpu import planner
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState, sources
from airflow_ai_provider.store.gpu_rows import (
    TASK_FIELDS,
    read_devices,
    read_holdings,
    read_queue,
)
from airflow_ai_provider.store.schema import device, gpu_request, host, lease, lease_device


def step(connection: sa.Connection, *, now: float, wall: datetime, host_name: str) -> None:
    """Take back what ran out, plan the whole queue, and write the plan down."""
    _suspect_expired(connection, now=now)
    _lapse_unclaimed(connection, now=now, wall=wall)
    queue = read_queue(connection)
    if queue:
        decided = planner.plan(read_devices(connection), read_holdings(connection), queue)
        for grant in decided.grants:
            _grant(connection, grant, now=now, wall=wall)
        for request_id, reason in decided.waiting.items():
            _explain(connection, request_id, reason.value)
        for request_id, why in decided.refused.items():
            close_request(connection, request_id, RequestState.REFUSED, wall=wall, reason=why)
    connection.execute(
        host.update().where(host.c.name == host_name).values(planned_at=now, seen_at=wall)
    )


def end_lease(
    connection: sa.Connection,
    lease_id: str,
    *,
    wall: datetime,
    reason: str,
    request_state: RequestState = RequestState.DONE,
    fence: int | None = None,
) -> bool:
    """Release a live lease and close its request; False when it is not live, or not ``fence``."""
    guard = [lease.c.id == lease_id, lease.c.state.in_(_names(LeaseState.RELEASED))]
    if fence is not None:
        guard.append(lease.c.fence == fence)
    request_id = connection.execute(
        lease.update()
        .where(*guard)
        .values(state=LeaseState.RELEASED.value, released_at=wall, reason=reason)
        .returning(lease.c.request_id)
    ).scalar_one_or_none()
    if request_id is None:
        return False
    connection.execute(
        lease_device.update().where(lease_device.c.lease_id == lease_id).values(live=False)
    )
    close_request(
        connection,
        request_id,
        request_state,
        wall=wall,
        reason=reason,
        expected=(RequestState.LEASED,),
    )
    return True


def doubt_lease(
    connection: sa.Connection, *where: sa.ColumnElement[bool], reason: str
) -> list[str]:
    """Make active leases suspect: their devices stay taken. Return their ids."""
    return list(
        connection.execute(
            lease.update()
            .where(lease.c.state.in_(_names(LeaseState.SUSPECT)), *where)
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
    moved = connection.execute(
        gpu_request.update()
        .where(
            gpu_request.c.id == request_id,
            gpu_request.c.state.in_([s.value for s in expected]),
        )
        .values(state=state.value, reason=reason, finished_at=wall)
    )
    return moved.rowcount == 1


def _names(target: LeaseState) -> list[str]:
    return [state.value for state in sources(target)]


def _suspect_expired(connection: sa.Connection, *, now: float) -> None:
    doubt_lease(connection, lease.c.expires_at <= now, reason="not renewed in time")


def _lapse_unclaimed(connection: sa.Connection, *, now: float, wall: datetime) -> None:
    lapsed = connection.execute(
        sa.select(lease.c.id).where(
            lease.c.state == LeaseState.GRANTED.value, lease.c.expires_at <= now
        )
    ).scalars()
    for lease_id in lapsed.all():
        end_lease(
            connection,
            lease_id,
            wall=wall,
            reason="granted and not claimed in time",
            request_state=RequestState.LAPSED,
        )


def _grant(connection: sa.Connection, grant: planner.Grant, *, now: float, wall: datetime) -> None:
    request = connection.execute(
        gpu_request.update()
        .where(
            gpu_request.c.id == grant.request_id,
            gpu_request.c.state == RequestState.PENDING.value,
        )
        .values(state=RequestState.LEASED.value, reason="")
        .returning(gpu_request)
    ).one()
    on_host = grant.devices[0][0]
    these = device.c.uuid.in_([name for _, name in grant.devices])
    newest = connection.execute(
        sa.select(sa.func.max(device.c.epoch)).where(device.c.host == on_host, these)
    ).scalar_one()
    fence = int(newest) + 1
    connection.execute(device.update().where(device.c.host == on_host, these).values(epoch=fence))
    lease_id = uuid.uuid4().hex
    boot_id = sa.select(host.c.boot_id).where(host.c.name == on_host).scalar_subquery()
    connection.execute(
        lease.insert().values(
            id=lease_id,
            request_id=request.id,
            fence=fence,
            state=LeaseState.GRANTED.value,
            host=on_host,
            boot_id=boot_id,
            expires_at=now + request.claim_within,
            reason="",
            granted_at=wall,
            **{name: getattr(request, name) for name in TASK_FIELDS},
        )
    )
    share = request.spec.get("memory_mib")
    connection.execute(
        lease_device.insert(),
        [
            {
                "lease_id": lease_id,
                "host": on_host,
                "device_uuid": name,
                "epoch": fence,
                "memory_mib": share,
                "live": True,
            }
            for _, name in grant.devices
        ],
    )

    if request.channel and connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_notify(request.channel, request.id)))


def _explain(connection: sa.Connection, request_id: str, reason: str) -> None:
    connection.execute(
        gpu_request.update()
        .where(gpu_request.c.id == request_id, gpu_request.c.reason != reason)
        .values(reason=reason)
    )
