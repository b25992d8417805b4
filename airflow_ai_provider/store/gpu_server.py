"""What begins and ends a lease, on a server in one statement: each costs a way there and back.

SQLite changes no rows within a query, and has no way to go; there it is one statement a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.store.gpu_rows import TASK_FIELDS, one_of
from airflow_ai_provider.store.prepared import Prepared
from airflow_ai_provider.store.schema import device, gpu_request, host, lease, lease_device

LEASE_FIELDS = (
    "id", "request_id", "state", "host", "holder_pid", "holder_start", "holder_uid", "expires_at",
    "estimate", "granted_at", "activated_at", *TASK_FIELDS,
)  # fmt: skip


def new_fence(dialect: str) -> sa.Update:
    """Return what raises the epoch of the devices ``names`` of ``on_host`` to one new value."""
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
    )


def boot_of_host() -> Any:
    """Return the boot of ``on_host``."""
    return sa.select(host.c.boot_id).where(host.c.name == sa.bindparam("on_host")).scalar_subquery()


def one_state_of(
    column: sa.ColumnElement[str], states: Sequence[LeaseState] | Sequence[RequestState]
) -> sa.ColumnElement[bool]:
    """Return that ``column`` is one of a few states; ``IN`` would be expanded at each execution."""
    return sa.or_(*(column == state.value for state in states))


def ended_lease(only: Sequence[LeaseState]) -> sa.Update:
    """Return what releases ``lease`` if it is in a state of ``only`` and has the fence, if any."""
    fence = sa.bindparam("fence_is", type_=sa.BigInteger)
    return (
        lease.update()
        .where(
            lease.c.id == sa.bindparam("lease"),
            one_state_of(lease.c.state, only),
            sa.or_(fence.is_(None), lease.c.fence == fence),
        )
        .values(
            state=LeaseState.RELEASED.value,
            released_at=sa.bindparam("wall"),
            reason=sa.bindparam("why"),
        )
    )


def taken_request() -> sa.Update:
    """Return what takes a request that still waits out of the queue, to be served."""
    return (
        gpu_request.update()
        .where(
            gpu_request.c.id == sa.bindparam("request_id"),
            gpu_request.c.state == RequestState.PENDING.value,
        )
        .values(state=RequestState.LEASED.value, reason="")
    )


def _begin(dialect: str) -> Any:
    fenced = new_fence(dialect).returning(device.c.uuid, device.c.epoch).cte("fenced")
    return sa.select(fenced.c.epoch).add_cte(*_written(fenced))


def _grant(dialect: str) -> Any:
    taken = taken_request().returning(gpu_request.c.id, gpu_request.c.channel).cte("taken")
    is_taken = sa.exists(sa.select(taken.c.id))
    fenced = (
        new_fence(dialect).where(is_taken).returning(device.c.uuid, device.c.epoch).cte("fenced")
    )
    told = (
        sa.select(sa.func.pg_notify(taken.c.channel, taken.c.id))
        .where(taken.c.channel.is_not(None))
        .scalar_subquery()
    )
    return sa.select(fenced.c.epoch, told).add_cte(*_written(fenced, is_taken))


def _written(fenced: sa.CTE, *where: sa.ColumnElement[bool]) -> tuple[sa.CTE, sa.CTE]:
    """Return the lease and what it keeps, for the devices that were ``fenced``."""
    fence = sa.select(sa.func.max(fenced.c.epoch)).scalar_subquery()
    given = [sa.bindparam(name, type_=lease.c[name].type) for name in LEASE_FIELDS]
    fixed = [boot_of_host(), sa.literal(value=False), sa.literal("", sa.String)]
    begun = (
        lease.insert()
        .from_select(
            [*LEASE_FIELDS, "fence", "boot_id", "revoked", "reason"],
            sa.select(*given, fence, *fixed).where(*where),
            include_defaults=False,
        )
        .cte("begun")
    )
    kept = (
        lease_device.insert()
        .from_select(
            ["lease_id", "host", "device_uuid", "epoch", "memory_mib", "live"],
            sa.select(
                sa.bindparam("id", type_=sa.String),
                sa.bindparam("on_host", type_=sa.String),
                fenced.c.uuid,
                fenced.c.epoch,
                sa.bindparam("memory_mib", type_=sa.BigInteger),
                sa.literal(value=True),
            ),
        )
        .cte("kept")
    )
    return begun, kept


@cache
def end_whole(only: tuple[LeaseState, ...]) -> Prepared:
    """Return what ends a lease, frees its devices and closes its request; one row if it was."""

    def build(_dialect: str) -> Any:
        ended = ended_lease(only).returning(lease.c.id, lease.c.request_id).cte("ended")
        freed = (
            lease_device.update()
            .where(lease_device.c.lease_id == ended.c.id)
            .values(live=False)
            .cte("freed")
        )
        closed = (
            gpu_request.update()
            .where(
                gpu_request.c.id == ended.c.request_id,
                gpu_request.c.state == RequestState.LEASED.value,
            )
            .values(
                state=sa.bindparam("to"),
                finished_at=sa.bindparam("wall"),
                reason=sa.bindparam("why"),
            )
            .cte("closed")
        )
        return sa.select(ended.c.request_id).add_cte(freed, closed)

    return Prepared(build)


begin_whole = Prepared(_begin)
grant_whole = Prepared(_grant)
