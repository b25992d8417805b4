"""What people decide about devices and leases, each with its record in the ledger.

Each is one transaction that plans the queue with it (``Turns.decide``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.errors import GpuAdminError
from airflow_ai_provider.core.gate import Criterion, GateDraft, GateKind, Verdict
from airflow_ai_provider.core.gpu.devices import Health
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.store.gpu_queue import Turn, end_lease
from airflow_ai_provider.store.gpu_turns import Turns
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.schema import device, host, lease, lease_device

DRAINED, QUARANTINED, IN_SERVICE = Health.DRAINED.value, Health.QUARANTINED.value, ""
_STILL_THERE = 300.0  # seconds since a host was last seen


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who decides, and why."""

    name: str
    reason: str


def set_standing(
    turns: Turns, uuid: str, *, on_host: str | None, state: str, by: Person
) -> dict[str, Any]:
    """Take a device out of service, or back; leases on it go on, new ones depend on it.

    ``state`` is ``DRAINED``, ``QUARANTINED`` or ``IN_SERVICE``. Returns the device, what it was
    and what it is, and the record.

    :raises GpuAdminError: no such device, or several hosts have one of that name.
    """

    def work(turn: Turn) -> dict[str, Any]:
        connection = turn.connection
        name, before = _device(connection, uuid, on_host)
        connection.execute(
            device.update()
            .where(device.c.host == name, device.c.uuid == uuid)
            .values(
                admin_state=state,
                admin_reason=by.reason[:500] if state else "",
                admin_by=by.name[:250] if state else "",
            )
        )
        was, now = before or "in service", state or "in service"
        subject, action = f"device://{name}/{uuid}", f"device {now}"
        record = _record(turns, turn, subject=subject, action=action, before=was, by=by)
        return {"device": uuid, "host": name, "was": was, "is": now, "record": record}

    return turns.decide(work)


def force_release(turns: Turns, lease_id: str, *, by: Person) -> dict[str, Any]:
    """Release a lease whatever its holder does, and hand its devices on.

    The lease is revoked: its holder's keeper ends the holder as soon as it hears of it.

    :raises GpuAdminError: no such lease is live.
    """

    def work(turn: Turn) -> dict[str, Any]:
        row = turn.connection.execute(
            sa.select(lease).where(
                lease.c.id == lease_id, lease.c.state != LeaseState.RELEASED.value
            )
        ).first()
        if row is None:
            raise GpuAdminError(
                f"No live lease has the id {lease_id!r}.",
                remedy="`airflow-ai gpu status --json` lists them.",
                lease_id=lease_id,
            )
        return _take(turns, turn, row, by=by, action="lease released by force")

    return turns.decide(work)


def give_up_host(
    turns: Turns, name: str, *, by: Person, sure: bool = False, ttl: float = 60.0
) -> list[dict[str, Any]]:
    """Release every lease of a host that will never come back; its devices are absent.

    A host that was seen in the last five minutes is refused. Who is ``sure`` that it is off need
    not wait so long, and the ledger says so: only until nobody there can have renewed anything,
    which is when the host was silent for the time to live of a lease, ``ttl`` seconds, and every
    lease of it has expired.

    :raises GpuAdminError: no such host; or it was seen of late, and its processes may still run.
    """

    def work(turn: Turn) -> list[dict[str, Any]]:
        connection = turn.connection
        known = connection.execute(sa.select(host).where(host.c.name == name)).first()
        if known is None:
            raise GpuAdminError(
                f"The store knows no host {name!r}.",
                remedy="`airflow-ai gpu status` lists them with their devices.",
            )
        rows = connection.execute(
            sa.select(lease)
            .where(lease.c.host == name, lease.c.state != LeaseState.RELEASED.value)
            .order_by(lease.c.granted_at, lease.c.id)
        ).all()
        silent = max(0.0, (turn.wall - known.seen_at).total_seconds())
        held = [row for row in rows if row.state == LeaseState.ACTIVE.value]
        _refuse_if_there(
            name, silent, left=max([row.expires_at - turn.now for row in held], default=0.0),
            sure=sure, ttl=ttl,
        )  # fmt: skip
        told = {"sure": True, "silent_s": round(silent, 1)} if sure else {}
        if sure:
            _record(
                turns, turn, subject=f"device://{name}/", action="host given up by who is sure",
                before=f"seen {silent:.0f} s ago", by=by, **told,
            )  # fmt: skip
        action = "lease of a host that is gone released"
        documents = [_take(turns, turn, row, by=by, action=action, **told) for row in rows]
        connection.execute(
            device.update()
            .where(device.c.host == name)
            .values(health=Health.ABSENT.value, reason="its host is gone")
        )
        return documents

    return turns.decide(work)


def _refuse_if_there(name: str, silent: float, *, left: float, sure: bool, ttl: float) -> None:
    """Refuse to give up a host that may still run what it holds."""
    if not sure and silent < _STILL_THERE:
        raise GpuAdminError(
            f"The host {name!r} was seen {silent:.0f} s ago: it is not gone.",
            remedy="Stop it for good, wait five minutes and ask again, or say --sure when you know "
            "that it is off; or run `airflow-ai gpu reap` on it.",
            refused=True,
        )
    if sure and (silent < ttl or left > 0):
        raise GpuAdminError(
            f"The host {name!r} was seen {silent:.0f} s ago, less than the time to live of a lease "
            "ago: its keeper is not known to be silent.",
            remedy=f"Ask again in {max(ttl - silent, left, 1.0):.0f} s.",
            refused=True,
        )


def _device(connection: sa.Connection, uuid: str, on_host: str | None) -> tuple[str, str]:
    rows = connection.execute(
        sa.select(device.c.host, device.c.admin_state)
        .where(device.c.uuid == uuid, *([] if on_host is None else [device.c.host == on_host]))
        .order_by(device.c.host)
    ).all()
    if not rows:
        where = "" if on_host is None else f" on host {on_host!r}"
        raise GpuAdminError(
            f"No device {uuid!r} is known{where}.", remedy="`airflow-ai gpu status` lists them."
        )
    if len(rows) > 1:
        names = ", ".join(row.host for row in rows)
        raise GpuAdminError(
            f"Several hosts have a device {uuid!r}: {names}.", remedy="Say which with --host."
        )
    return rows[0].host, rows[0].admin_state


def _take(
    turns: Turns, turn: Turn, row: Any, *, by: Person, action: str, **told: Any
) -> dict[str, Any]:
    connection = turn.connection
    names = list(
        connection.execute(
            sa.select(lease_device.c.device_uuid)
            .where(lease_device.c.lease_id == row.id)
            .order_by(lease_device.c.device_uuid)
        ).scalars()
    )
    connection.execute(lease.update().where(lease.c.id == row.id).values(revoked=True))
    reason = f"{by.name}: {by.reason}"[:500]
    end_lease(connection, row.id, wall=turn.wall, reason=reason)
    record = _record(
        turns, turn, subject=f"device://{row.host}/{names[0] if names else ''}",
        action=action, before=row.state, by=by, lease=row.id, fence=row.fence, devices=names,
        **told,
    )  # fmt: skip
    return {
        "lease": row.id, "fence": row.fence, "was": row.state, "host": row.host,
        "devices": names, "record": record,
    }  # fmt: skip


def _record(
    turns: Turns, turn: Turn, *, subject: str, action: str, before: str, by: Person,
    **evidence: Any,
) -> str:  # fmt: skip
    criterion = Criterion(
        name=action, limit=None, observed=before, verdict=Verdict.OVERRIDE, sentence=by.reason
    )
    draft = GateDraft(
        kind=GateKind.DEVICE,
        subject=subject,
        verdict=Verdict.OVERRIDE,
        criteria=(criterion,),
        evidence=evidence,
        decided_by=by.name,
    )
    return Ledger(turns.store).append_in(turn.connection, draft).id
