"""The pool as people look at it: devices with their holders, and the queue."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_queue import RESERVE_AFTER, Turn, expect, turn_of
from airflow_ai_provider.store.gpu_rows import LeaseClock, lease_clock, task_of
from airflow_ai_provider.store.gpu_state import PoolState, queued_of, read_queue
from airflow_ai_provider.store.schema import gpu_request, host, lease, lease_device

_PRESENT_FOR = timedelta(seconds=60)  # a host without leases that was seen since is there
ANOTHER = "another project"  # what is told of a task that is not to be seen
_WHOLE_QUEUE = 2**31 - 1


def snapshot(
    store: Store,
    *,
    reserve_after: float = RESERVE_AFTER,
    clock: LeaseClock = lease_clock,
    hidden: Collection[str] = (),
) -> dict[str, Any]:
    """Return devices, queue and hosts as ``airflow-ai gpu status`` does; it changes nothing.

    Of the ``hidden`` projects only what they hold and wait for is told, not who they are.
    """
    with store.read() as connection:
        turn = turn_of(store, connection, clock=clock, reserve_after=reserve_after)
        pool = turn.look()
        held = _held(turn, hidden)
        devices = []
        for device in pool.devices:
            holders = held.get(device.key, [])
            devices.append(
                {
                    "uuid": device.uuid,
                    "host": device.host,
                    "kind": device.kind.value,
                    "model": device.model,
                    "memory_mib": device.memory_mib,
                    "used_mib": _used(device.memory_mib, [share for share, _ in holders]),
                    "health": device.health.value,
                    "reason": device.reason,
                    "holders": [document for _, document in holders],
                }
            )
        return {"devices": devices, "queue": _queue(turn, pool, hidden), "hosts": _hosts(turn)}


def _held(
    turn: Turn, hidden: Collection[str]
) -> dict[tuple[str, str], list[tuple[int | None, dict[str, Any]]]]:
    rows = turn.connection.execute(
        sa.select(
            lease,
            gpu_request.c.holder,
            gpu_request.c.spec.label("asked"),
            lease_device.c.host.label("on_host"),
            lease_device.c.device_uuid,
            lease_device.c.memory_mib,
        )
        .join(lease_device, lease_device.c.lease_id == lease.c.id)
        .join(gpu_request, gpu_request.c.id == lease.c.request_id)
        .where(lease_device.c.live)
        .order_by(lease_device.c.device_uuid)
    ).all()
    documents: dict[str, dict[str, Any]] = {}
    held: dict[tuple[str, str], list[tuple[int | None, dict[str, Any]]]] = {}
    for row in rows:
        is_hidden = row.asked.get("project") in hidden
        document = documents.setdefault(
            row.id,
            {
                "id": row.id,
                "fence": row.fence,
                "task": ANOTHER if is_hidden else task_of(row).describe() or row.holder,
                "state": row.state,
                "devices": [],
                "since": row.granted_at,
                "expires_at": turn.wall + timedelta(seconds=row.expires_at - turn.now),
            },
        )
        if row.reason and not is_hidden:  # why it is in doubt, or is about to end
            document["reason"] = row.reason
        document["devices"].append(row.device_uuid)
        held.setdefault((row.on_host, row.device_uuid), []).append((row.memory_mib, document))
    return held


def _used(memory_mib: int | None, shares: list[int | None]) -> int | None:
    if None in shares:
        return memory_mib
    return sum(share for share in shares if share is not None)


def _queue(turn: Turn, pool: PoolState, hidden: Collection[str]) -> list[dict[str, Any]]:
    rows = read_queue(turn.connection, oldest=_WHOLE_QUEUE)
    rows.sort(key=lambda row: (-row.spec.get("priority", 0), row.place, row.id))
    starts = expect(turn, pool, [queued_of(row, wall=turn.wall) for row in rows])
    queue = []
    for row in rows:
        seconds = starts.get(row.id)
        is_hidden = row.spec.get("project") in hidden
        queue.append(
            {
                "id": row.id,
                "task": ANOTHER if is_hidden else task_of(row).describe() or row.holder,
                "spec": {k: v for k, v in row.spec.items() if not (is_hidden and k == "project")},
                "priority": row.spec.get("priority", 0),
                "waiting_s": round(max(0.0, (turn.wall - row.enqueued_at).total_seconds()), 3),
                "reason": row.reason,
                "expected_start": (
                    None if seconds is None else turn.wall + timedelta(seconds=seconds)
                ),
            }
        )
    return queue


def _hosts(turn: Turn) -> list[dict[str, Any]]:
    """Return the hosts, and whether somebody on them still renews the leases that they have.

    One with leases that nobody renews is away; one that has none, and was not seen of late, idle.
    """
    held = sa.and_(lease.c.host == host.c.name, lease.c.state != LeaseState.RELEASED.value)
    renewed = sa.func.max(lease.c.expires_at).filter(
        lease.c.state.in_([LeaseState.GRANTED.value, LeaseState.ACTIVE.value])
    )
    rows = turn.connection.execute(
        sa.select(
            host.c.name,
            host.c.seen_at,
            sa.func.count(lease.c.id).label("leases"),
            renewed.label("until"),
        )
        .outerjoin_from(host, lease, held)
        .group_by(host.c.name, host.c.seen_at)
        .order_by(host.c.name)
    )
    return [
        {"name": row.name, "seen_at": row.seen_at, "state": _standing(row, turn)} for row in rows
    ]


def _standing(row: Any, turn: Turn) -> str:
    if row.leases:
        return "present" if row.until is not None and row.until > turn.now else "away"
    return "present" if turn.wall - row.seen_at < _PRESENT_FOR else "idle"
