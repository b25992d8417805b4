"""Hosts and their devices as they register themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.devices import Device, Health
from airflow_ai_provider.core.gpu.lease import Host
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.store.gpu_grants import end_lease
from airflow_ai_provider.store.gpu_rows import read_devices
from airflow_ai_provider.store.schema import device, host, lease


def register(
    connection: sa.Connection, here: Host, devices: Sequence[Device] | None, *, wall: datetime
) -> None:
    """Make ``here`` and its devices known; write only what changed.

    A host that was restarted has no process of before: what leases it had end. A device that is no
    longer declared stays, absent, with the leases on it. ``devices=None`` leaves them as they are:
    a process that was told of no devices is no authority over those that are registered.
    """
    known = connection.execute(sa.select(host.c.boot_id).where(host.c.name == here.name)).first()
    if known is None:
        connection.execute(host.insert().values(name=here.name, boot_id=here.boot_id, seen_at=wall))
    elif known.boot_id != here.boot_id:
        _restarted(connection, here, wall)
    if devices is not None:
        _sync(connection, here, devices)


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


def _sync(connection: sa.Connection, here: Host, devices: Sequence[Device]) -> None:
    known = {d.uuid: d for d in read_devices(connection) if d.host == here.name}
    for found in devices:
        if found.uuid not in known:
            connection.execute(device.insert().values(host=here.name, epoch=0, **_values(found)))
        elif known[found.uuid] != found:
            _update(connection, here, found.uuid, **_values(found))
    gone = {d.uuid for d in known.values() if d.health is not Health.ABSENT}
    for uuid in gone - {d.uuid for d in devices}:
        _update(connection, here, uuid, health=Health.ABSENT.value, reason="no longer declared")


def _values(found: Device) -> dict[str, object]:
    return {
        "uuid": found.uuid,
        "kind": found.kind.value,
        "model": found.model,
        "memory_mib": found.memory_mib,
        "mig_profile": found.mig_profile,
        "pool": found.pool,
        "health": found.health.value,
        "reason": found.reason,
        "parent_uuid": found.parent_uuid,
        "topology": asdict(found.topology) if found.topology else None,
        "compute_mode": found.compute_mode,
    }


def _update(connection: sa.Connection, here: Host, uuid: str, **values: object) -> None:
    connection.execute(
        device.update().where(device.c.host == here.name, device.c.uuid == uuid).values(**values)
    )
