"""What people decide about devices and leases, each with its record in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.errors import GpuAdminError
from airflow_ai_provider.core.gate import Criterion, GateDraft, GateKind, Verdict
from airflow_ai_provider.core.gpu.devices import Health
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_queue import end_lease, step
from airflow_ai_provider.store.gpu_rows import LeaseClock, lease_clock, one_planner
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
    store: Store, uuid: str, *, on_host: str | None, state: str, by: Person,
    clock: LeaseClock = lease_clock,
) -> dict[str, Any]:  # fmt: skip
    """Take a device out of service, or back; leases on it go on, new ones depend on it.

    ``state`` is ``DRAINED``, ``QUARANTINED`` or ``IN_SERVICE``. Returns the device, what it was
    and what it is, and the record.

    :raises GpuAdminError: no such device, or several hosts have one of that name.
    """
    with store.write() as connection:
        one_planner(connection)
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
        now = state or "in service"
        record = _record(
            store, connection, subject=f"device://{name}/{uuid}", action=f"device {now}",
            before=before or "in service", by=by,
        )  # fmt: skip
        _plan(store, connection, clock)
    return {"device": uuid, "host": name, "was": before or "in service", "is": now,
            "record": record}  # fmt: skip


def force_release(
    store: Store, lease_id: str, *, by: Person, clock: LeaseClock = lease_clock
) -> dict[str, Any]:
    """Release a lease whatever its holder does, and hand its devices on.

    The lease is revoked: its holder's keeper ends the holder as soon as it hears of it.

    :raises GpuAdminError: no such lease is live.
    """
    with store.write() as connection:
        one_planner(connection)
        row = connection.execute(
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
        document = _take(store, connection, row, by=by, action="lease released by force")
        _plan(store, connection, clock)
    return document


def give_up_host(
    store: Store, name: str, *, by: Person, clock: LeaseClock = lease_clock
) -> list[dict[str, Any]]:
    """Release every lease of a host that will never come back; its devices are absent.

    :raises GpuAdminError: no such host; or it was seen of late, and its processes may still run.
    """
    with store.write() as connection:
        one_planner(connection)
        wall = store.utcnow(connection)
        known = connection.execute(sa.select(host).where(host.c.name == name)).first()
        if known is None:
            raise GpuAdminError(
                f"The store knows no host {name!r}.",
                remedy="`airflow-ai gpu status` lists them with their devices.",
            )
        seen = (wall - known.seen_at).total_seconds()
        if seen < _STILL_THERE:
            raise GpuAdminError(
                f"The host {name!r} was seen {max(0.0, seen):.0f} s ago: it is not gone.",
                remedy="Stop it for good, wait five minutes and ask again; or run "
                "`airflow-ai gpu reap` on it.",
                refused=True,
            )
        rows = connection.execute(
            sa.select(lease)
            .where(lease.c.host == name, lease.c.state != LeaseState.RELEASED.value)
            .order_by(lease.c.granted_at, lease.c.id)
        ).all()
        action = "lease of a host that is gone released"
        documents = [_take(store, connection, row, by=by, action=action) for row in rows]
        connection.execute(
            device.update()
            .where(device.c.host == name)
            .values(health=Health.ABSENT.value, reason="its host is gone")
        )
        _plan(store, connection, clock)
    return documents


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
    store: Store, connection: sa.Connection, row: Any, *, by: Person, action: str
) -> dict[str, Any]:
    names = list(
        connection.execute(
            sa.select(lease_device.c.device_uuid)
            .where(lease_device.c.lease_id == row.id)
            .order_by(lease_device.c.device_uuid)
        ).scalars()
    )
    connection.execute(lease.update().where(lease.c.id == row.id).values(revoked=True))
    reason = f"{by.name}: {by.reason}"[:500]
    end_lease(connection, row.id, wall=store.utcnow(connection), reason=reason)
    record = _record(
        store, connection, subject=f"device://{row.host}/{names[0] if names else ''}",
        action=action, before=row.state, by=by, lease=row.id, fence=row.fence, devices=names,
    )  # fmt: skip
    return {
        "lease": row.id, "fence": row.fence, "was": row.state, "host": row.host,
        "devices": names, "record": record,
    }  # fmt: skip


def _record(
    store: Store, connection: sa.Connection, *, subject: str, action: str, before: str, by: Person,
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
    return Ledger(store).append_in(connection, draft).id


def _plan(store: Store, connection: sa.Connection, clock: LeaseClock) -> None:
    # no host is told of: the one who decides may sit anywhere
    step(connection, now=clock(connection), wall=store.utcnow(connection), host_name="")
