"""What the keeper does to its leases in the store, in plain SQL.

The keeper lives as long as any lease and must stay small; SQLAlchemy alone costs it 25 MB. These
few statements run on the bare drivers (``store.light``) as they do through SQLAlchemy; tests hold
both to ``GpuStore``. Names after a colon are parameters; ``execute`` binds them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.gpu.lease import Process
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.core.gpu.tenure import Tenure, Visit

Execute = Callable[[str, Mapping[str, Any]], list[Any]]


@dataclass(frozen=True, kw_only=True)
class Times:
    """SQL for the store's lease clock, and for its wall clock."""

    clock: str
    wall: str


SERVER_TIMES = Times(
    clock="CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS double precision)",
    wall="clock_timestamp()",
)
PASSED_TIMES = Times(clock=":clock", wall=":wall")

_LIVE = """
SELECT l.id, l.fence, l.state, l.holder_pid, l.holder_start, l.holder_uid, l.revoked, l.reason,
       CAST(r.spec AS TEXT), CAST(l.left_behind AS TEXT)
FROM lease l JOIN gpu_request r ON r.id = l.request_id
WHERE l.host = :host AND l.boot_id = :boot
  AND l.state IN ('granted', 'active', 'suspect', 'quarantined')
ORDER BY l.granted_at, l.id
"""
_DEVICES = """
SELECT lease_id, device_uuid FROM lease_device WHERE host = :host AND live ORDER BY device_uuid
"""
_OUTLIVED = """
SELECT l.id, l.fence, theirs.device_uuid
FROM lease l
JOIN lease_device theirs ON theirs.lease_id = l.id
JOIN lease_device mine ON mine.host = theirs.host AND mine.device_uuid = theirs.device_uuid
JOIN lease ours ON ours.id = mine.lease_id
WHERE l.host = :host AND l.boot_id = :boot AND l.state = 'released' AND theirs.epoch < mine.epoch
  AND ours.id = :lease AND ours.fence = :fence AND {which}
"""
_BY_HOLDER = "released"  # what ``GpuStore.release`` writes unless told
_REGISTERED = "SELECT uuid, health FROM device WHERE host = :host ORDER BY uuid"


def visit(
    execute: Execute, *, host: str, boot_id: str, ttl: float, fences: Mapping[str, int],
    times: Times, passed: Mapping[str, Any],
) -> Visit:  # fmt: skip
    """Renew ``fences`` (lease id to fence), doubt what expired, and read what is live on ``host``.

    A suspect lease becomes active again, unless it was revoked: who renews knows that its holder
    lives. Leases of another boot are none of ours to look after: their processes are gone, their
    pids may be others'. ``passed`` are the parameters of ``times``.
    """
    values = {"host": host, "boot": boot_id, "ttl": ttl, **passed}
    renewed: frozenset[str] = frozenset()
    if fences:
        which, names = _any_of(fences.items())
        rows = execute(
            f"UPDATE lease SET state = 'active', expires_at = {times.clock} + :ttl, "  # noqa: S608
            "reason = CASE WHEN state = 'suspect' THEN '' ELSE reason END "
            f"WHERE {which} AND state IN ('active', 'suspect') AND NOT revoked RETURNING id",
            {**values, **names},
        )
        renewed = frozenset(row[0] for row in rows)
    execute(
        "UPDATE lease SET state = 'suspect', reason = 'not renewed in time' "  # noqa: S608
        f"WHERE state = 'active' AND expires_at <= {times.clock} RETURNING id",
        values,
    )
    known = execute(
        f"UPDATE host SET seen_at = {times.wall} "  # noqa: S608
        "WHERE name = :host RETURNING boot_id",
        values,
    )
    live = _live(execute, values)
    gone = {lease_id: fence for lease_id, fence in fences.items() if (lease_id, fence) not in live}
    return Visit(
        renewed=renewed,
        live=tuple(live.values()),
        taken=_taken(execute, gone),
        registered=dict(execute(_REGISTERED, values)),
        restarted=any(row[0] != boot_id for row in known),
    )


def say(execute: Execute, lease_id: str, fence: int, reason: str) -> None:
    """Set what `gpu status` says of a live lease."""
    execute(
        "UPDATE lease SET reason = :reason WHERE id = :id AND fence = :fence "
        "AND state <> 'released' RETURNING id",
        {"id": lease_id, "fence": fence, "reason": reason},
    )


def outlived(
    execute: Execute, lease_id: str, fence: int, marks: Iterable[tuple[str, int]],
    *, host: str, boot_id: str,
) -> frozenset[tuple[str, int, str]]:  # fmt: skip
    """Return which of ``marks`` (lease id, fence) are of leases that this one came after.

    They are released, and held a device of this one before it did: the id, the fence and the
    device. What carries such a mark and is still there outlived its lease.
    """
    which, names = _any_of(marks, "l.")
    rows = execute(
        _OUTLIVED.format(which=which),
        {"host": host, "boot": boot_id, "lease": lease_id, "fence": fence, **names},
    )
    return frozenset((lease, number, uuid) for lease, number, uuid in rows)


def _live(execute: Execute, values: Mapping[str, Any]) -> dict[tuple[str, int], Tenure]:
    names: dict[str, list[str]] = defaultdict(list)
    for lease_id, uuid in execute(_DEVICES, values):
        names[lease_id].append(uuid)
    found = {}
    for row in execute(_LIVE, values):
        lease_id, fence, state, pid, start, uid, revoked, reason, spec, behind = row
        found[lease_id, fence] = Tenure(
            id=lease_id,
            fence=fence,
            state=LeaseState(state),
            devices=tuple(names[lease_id]),
            process=None if pid is None else Process(pid=pid, start=start, uid=uid),
            uid=uid,
            revoked=bool(revoked),
            reason=reason,
            idle_limit=json.loads(spec).get("idle_limit"),
            left_behind=_processes(behind),
        )
    return found


def _processes(text: str | None) -> tuple[Process, ...]:
    found = json.loads(text) if text else None
    return tuple(Process(pid=pid, start=start, uid=uid) for pid, start, uid in found or ())


def _taken(execute: Execute, gone: Mapping[str, int]) -> dict[str, str]:
    """Return why, of leases that are live no more, those that somebody took from their holder.

    One that its holder released by itself is not among them, also when it was revoked before.
    """
    if not gone:
        return {}
    which, names = _any_of(gone.items())
    rows = execute(f"SELECT id, revoked, reason FROM lease WHERE {which}", names)  # noqa: S608
    found = {lease_id: (revoked, reason) for lease_id, revoked, reason in rows}
    unknown = (True, "the store does not know it")
    return {
        lease_id: found.get(lease_id, unknown)[1]
        for lease_id in gone
        if found.get(lease_id, unknown)[0] and found.get(lease_id, unknown)[1] != _BY_HOLDER
    }


def _any_of(leases: Iterable[tuple[str, int]], table: str = "") -> tuple[str, dict[str, Any]]:
    names: dict[str, Any] = {}
    which = []
    for number, (lease_id, fence) in enumerate(leases):
        names |= {f"id{number}": lease_id, f"fence{number}": fence}
        which.append(f"({table}id = :id{number} AND {table}fence = :fence{number})")
    return f"({' OR '.join(which)})", names
