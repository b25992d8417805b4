"""The statements by which leases begin and end, prepared once."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.store.gpu_rows import SERVER_CLOCK
from airflow_ai_provider.store.gpu_server import (
    LEASE_FIELDS,
    boot_of_host,
    ended_lease,
    new_fence,
    one_state_of,
    taken_request,
)
from airflow_ai_provider.store.prepared import Prepared
from airflow_ai_provider.store.schema import device, gpu_request, lease, lease_device


@cache
def end_from(only: tuple[LeaseState, ...]) -> Prepared:
    """Return the statement that ends a lease which is in one of the states ``only``."""
    return Prepared(lambda _dialect: ended_lease(only).returning(lease.c.request_id))


@cache
def close_from(expected: tuple[RequestState, ...]) -> Prepared:
    """Return the statement that closes a request which is in one of the ``expected`` states."""
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


def _build_claim(dialect: str) -> Any:
    now: Any = sa.bindparam("now", type_=sa.Float)
    wall: Any = sa.bindparam("wall", type_=lease.c.activated_at.type)
    if dialect == "postgresql":
        now = sa.func.coalesce(now, SERVER_CLOCK)
        wall = sa.func.coalesce(wall, sa.func.clock_timestamp())
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
            expires_at=now + sa.bindparam("ttl", type_=sa.Float),
            activated_at=wall,
        )
        .returning(lease.c.id)
    )


def _build_free_devices(_dialect: str) -> sa.Update:
    of_lease = lease_device.c.lease_id == sa.bindparam("lease")
    return lease_device.update().where(of_lease).values(live=False)


take_request = Prepared(lambda _dialect: taken_request())
next_epoch = Prepared(lambda dialect: new_fence(dialect).returning(device.c.epoch))
insert_lease = Prepared(_build_insert_lease)
insert_devices = Prepared(_build_insert_devices)
claim_grant = Prepared(_build_claim)
free_devices = Prepared(_build_free_devices)
