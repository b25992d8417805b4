"""Hosts and their devices as they register themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Health, PartialView
from airflow_ai_provider.core.gpu.health import Fault
from airflow_ai_provider.core.gpu.lease import Host
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_grants import end_lease
from airflow_ai_provider.store.schema import device, host, lease

SEEN_EVERY = timedelta(seconds=30)  # how often it is written that what is known was seen again
GONE = "its host no longer reports it"
BY_DRIVER = "driver"  # who said so, of what is noted from a fault


def register(
    connection: sa.Connection, here: Host, devices: Sequence[Device] | None, *, wall: datetime
) -> bool:
    """Make ``here`` and its devices known; return whether the planner may decide otherwise now.

    Only what changed is written. What people said of a device stays. A host that was restarted has
    no process of before: what leases it had end, and what its driver reported of devices is
    forgotten. A device that is gone stays, absent, with the leases on it; one that is back is what
    it was. ``devices=None`` leaves them as they are: a process that was told of no devices is no
    authority over those that are registered; how far a ``PartialView`` is one it says itself.
    """
    known = connection.execute(sa.select(host).where(host.c.name == here.name)).first()
    changed = False
    if known is None:
        _add(connection, host, {"name": here.name, "boot_id": here.boot_id, "seen_at": wall})
    elif known.boot_id != here.boot_id:
        _restarted(connection, here, wall)
        changed = True
    seen_again = known is not None and wall - known.seen_at >= SEEN_EVERY
    if seen_again:
        connection.execute(host.update().where(host.c.name == here.name).values(seen_at=wall))
    if devices is not None:
        changed |= _sync(connection, here, devices, wall, seen_again=seen_again)
    return changed


def note_faults(store: Store, here: Host, faults: Iterable[Fault]) -> None:
    """Keep the devices of ``here`` that reported ``faults`` from being granted.

    They are unhealthy until a person says otherwise (``airflow-ai gpu undrain``) or the host is
    restarted; leases on them stay. A fault of a card is one of its MIG instances too. A device that
    a person has set aside already stays so, and the fault is added to why.
    """
    with store.write() as connection:
        for fault in faults:
            about = device.c.kind != DeviceKind.STATIC.value
            if fault.uuid is not None:
                about = sa.or_(device.c.uuid == fault.uuid, device.c.parent_uuid == fault.uuid)
            rows = connection.execute(
                sa.select(device).where(device.c.host == here.name, about)
            ).all()
            for row in rows:
                _note(connection, here, row, fault.reason)


def _note(connection: sa.Connection, here: Host, row: Any, reason: str) -> None:
    if not row.admin_state:
        said = {"admin_state": Health.UNHEALTHY.value, "admin_by": BY_DRIVER}
        _update(connection, here, [row.uuid], **said, admin_reason=reason)
    elif reason not in row.admin_reason.split("; "):
        _update(connection, here, [row.uuid], admin_reason=f"{row.admin_reason}; {reason}"[:500])


def _restarted(connection: sa.Connection, here: Host, wall: datetime) -> None:
    before = connection.execute(
        sa.select(lease.c.id).where(
            lease.c.host == here.name,
            lease.c.boot_id != here.boot_id,
            lease.c.state != LeaseState.RELEASED.value,
        )
    ).scalars()
    for lease_id in before.all():
        end_lease(connection, lease_id, wall=wall, reason="its host was restarted")
    connection.execute(
        host.update()
        .where(host.c.name == here.name)
        .values(boot_id=here.boot_id, planned_at=None, seen_at=wall)
    )
    connection.execute(
        device.update()
        .where(device.c.host == here.name, device.c.admin_by == BY_DRIVER)
        .values(admin_state="", admin_reason="", admin_by="")
    )


def _sync(
    connection: sa.Connection,
    here: Host,
    devices: Sequence[Device],
    wall: datetime,
    *,
    seen_again: bool,
) -> bool:
    rows = connection.execute(sa.select(device).where(device.c.host == here.name))
    known = {row.uuid: row._mapping for row in rows}
    changed = False
    for found in sorted(devices, key=lambda d: d.uuid):  # in one order: nobody locks crosswise
        values = _values(found)
        row = known.get(found.uuid)
        if row is None:
            new = {**values, "host": here.name, "epoch": 0, "observed_at": wall}
            _add(connection, device, new)
        elif any(row[name] != value for name, value in values.items()):
            _update(connection, here, [found.uuid], **values, observed_at=wall)
        else:
            continue
        changed = True
    if seen_again and devices:
        _update(connection, here, [d.uuid for d in devices], observed_at=wall)
    missing = [row for uuid, row in known.items() if uuid not in {d.uuid for d in devices}]
    return _miss(connection, here, devices, missing) or changed


def _miss(
    connection: sa.Connection, here: Host, devices: Sequence[Device], missing: list[Any]
) -> bool:
    """Write what it means for the rows ``missing`` that they are not among ``devices``."""
    changed = False
    for row in missing:
        health, reason = Health.ABSENT, GONE
        if isinstance(devices, PartialView) and row["kind"] != DeviceKind.STATIC.value:
            if devices.missing is None or row["health"] == Health.ABSENT.value:
                continue
            health, reason = devices.missing, devices.why[:500]
        if (row["health"], row["reason"]) != (health.value, reason):
            _update(connection, here, [row["uuid"]], health=health.value, reason=reason)
            changed = True
    return changed


def _values(found: Device) -> dict[str, Any]:
    return {
        "uuid": found.uuid,
        "kind": found.kind.value,
        "model": found.model,
        "memory_mib": found.memory_mib,
        "mig_profile": found.mig_profile,
        "pool": found.pool,
        "health": found.health.value,
        "reason": found.reason[:500],
        "parent_uuid": found.parent_uuid,
        "topology": _document(found),
        "compute_mode": found.compute_mode,
        "reserved_mib": found.reserved_mib,
        "node": None if found.node is None else found.node.document,
    }


def _document(found: Device) -> dict[str, Any] | None:
    """Return the topology as it comes back from the store: JSON knows no tuples."""
    if found.topology is None:
        return None
    place = asdict(found.topology)
    return {
        **place,
        "nvlink": list(place["nvlink"]),
        "near": [list(pair) for pair in place["near"]],
    }


def _add(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> None:
    """Insert a row, unless another process of this host was faster."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(table).values(values).on_conflict_do_nothing())


def _update(connection: sa.Connection, here: Host, uuids: Sequence[str], **values: Any) -> None:
    connection.execute(
        device.update().where(device.c.host == here.name, device.c.uuid.in_(uuids)).values(values)
    )
