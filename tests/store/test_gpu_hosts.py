from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Health, PartialView
from airflow_ai_provider.core.gpu.health import Fault
from airflow_ai_provider.core.gpu.lease import Host
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_hosts import note_faults, register
from airflow_ai_provider.store.gpu_rows import read_devices
from airflow_ai_provider.store.schema import device, host
from airflow_ai_provider.testing import fake_devices, fake_uuid

HERE = Host(name="testhost", boot_id="boot-1")
NOON = datetime(2030, 1, 1, 12, tzinfo=timezone.utc)
CARDS = tuple(
    replace(card, reserved_mib=50)
    for card in fake_devices(2, kind=DeviceKind.GPU, nvlink_pairs=True, memory_mib=1000)
)


class Known:
    """What a store knows of one host, as registrations follow each other."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.here = HERE
        self.wall = NOON

    def see(self, devices: Sequence[Device] | None, after: float = 1.0) -> bool:
        self.wall += timedelta(seconds=after)
        with self.store.write() as connection:
            return register(connection, self.here, devices, wall=self.wall)

    def devices(self) -> dict[str, Device]:
        with self.store.read() as connection:
            return {d.uuid: d for d in read_devices(connection)}

    def health(self) -> list[str]:
        return [d.health.value for d in self.devices().values()]

    def row(self, uuid: str) -> Any:
        with self.store.read() as connection:
            return connection.execute(sa.select(device).where(device.c.uuid == uuid)).one()

    def say(self, uuid: str, state: str, by: str = "ana") -> None:
        """Do as a person does who drains a device, or takes that back."""
        with self.store.write() as connection:
            connection.execute(
                device.update()
                .where(device.c.uuid == uuid)
                .values(admin_state=state, admin_reason="fan" if state else "", admin_by=by)
            )


@pytest.fixture
def known(store: Store) -> Known:
    return Known(store)


def test_devices_come_back_as_they_were_seen(known: Known) -> None:
    seen = (*CARDS, *fake_devices(0, kind=DeviceKind.GPU, mig=["1g.10gb"]), *fake_devices(1))
    assert known.see(seen)
    assert set(known.devices().values()) == set(seen)


def test_what_did_not_change_is_not_written(known: Known) -> None:
    known.see(CARDS)
    assert not known.see(CARDS)
    assert known.row(CARDS[0].uuid).observed_at == NOON + timedelta(seconds=1)
    assert not known.see(CARDS, after=40)
    assert known.row(CARDS[0].uuid).observed_at == known.wall
    with known.store.read() as connection:
        assert connection.execute(sa.select(host.c.seen_at)).scalar_one() == known.wall


def test_what_a_person_said_stays_over_registrations(known: Known) -> None:
    known.see(CARDS)
    known.say(CARDS[0].uuid, "drained")
    assert not known.see(CARDS)
    assert known.see([replace(CARDS[0], memory_mib=2000), CARDS[1]])
    drained = known.devices()[CARDS[0].uuid]
    assert (drained.health, drained.reason, drained.memory_mib) == (Health.DRAINED, "fan", 2000)
    known.see([replace(CARDS[0], health=Health.UNHEALTHY, reason="ECC"), CARDS[1]])
    assert known.devices()[CARDS[0].uuid].health is Health.UNHEALTHY
    known.see(CARDS)
    assert known.devices()[CARDS[0].uuid].health is Health.DRAINED


def test_a_device_that_is_gone_is_absent_and_back_again_healthy(known: Known) -> None:
    known.see(CARDS)
    assert known.see(CARDS[:1])
    assert known.health() == ["healthy", "absent"]
    assert not known.see(CARDS[:1])
    assert known.see(CARDS)
    assert known.health() == ["healthy", "healthy"]


def test_who_knows_of_no_source_is_no_authority(known: Known) -> None:
    known.see(CARDS)
    assert not known.see(None)
    assert known.health() == ["healthy", "healthy"]


def test_a_view_of_a_silent_driver_leaves_its_devices(known: Known) -> None:
    static = fake_devices(2)
    known.see([*CARDS, *static])
    known.see(PartialView(static[:1], missing=None, why="no answer"))
    assert {u: d.health.value for u, d in known.devices().items()} == {
        CARDS[0].uuid: "healthy",
        CARDS[1].uuid: "healthy",
        "fake:0": "healthy",
        "fake:1": "absent",
    }


def test_a_card_that_does_not_tell_of_itself_is_unhealthy(known: Known) -> None:
    known.see([*CARDS, *fake_devices(1, model="npu")])
    known.see(CARDS[1:])
    lost = PartialView([], missing=Health.UNHEALTHY, why="a card: GPU is lost")
    assert known.see(lost)
    assert [(d.health.value, d.reason) for d in known.devices().values()] == [
        ("absent", "its host no longer reports it"),
        ("unhealthy", "a card: GPU is lost"),
        ("absent", "its host no longer reports it"),
    ]
    assert not known.see(lost)


def test_a_fault_keeps_a_device_back_until_somebody_looked(known: Known) -> None:
    known.see(CARDS)
    note_faults(known.store, HERE, [Fault(uuid=CARDS[0].uuid, reason="Xid 79")])
    known.see(CARDS)
    ill = known.devices()[CARDS[0].uuid]
    assert (ill.health, ill.reason) == (Health.UNHEALTHY, "Xid 79")
    assert known.devices()[CARDS[1].uuid].health is Health.HEALTHY
    known.say(CARDS[0].uuid, "")
    assert known.health() == ["healthy", "healthy"]


def test_a_fault_of_a_card_is_one_of_its_instances(known: Known) -> None:
    devices = fake_devices(1, kind=DeviceKind.GPU, mig=["1g.10gb", "1g.10gb"])
    known.see(devices)
    note_faults(known.store, HERE, [Fault(uuid=fake_uuid(1, "MIG"), reason="Xid 94")])
    assert sorted(known.health()) == ["healthy", "healthy", "unhealthy"]
    note_faults(known.store, HERE, [Fault(uuid=fake_uuid(1), reason="Xid 79")])
    assert known.devices()[fake_uuid(0)].health is Health.HEALTHY
    assert known.devices()[fake_uuid(0, "MIG")].reason == "Xid 79"
    assert known.devices()[fake_uuid(1, "MIG")].reason == "Xid 94; Xid 79"


def test_a_fault_of_nobody_knows_which_card_is_one_of_all(known: Known) -> None:
    known.see([*CARDS, *fake_devices(1)])
    note_faults(known.store, HERE, [Fault(uuid=None, reason="Xid 79")])
    assert known.health() == ["unhealthy", "unhealthy", "healthy"]


def test_a_fault_does_not_undo_what_a_person_said(known: Known) -> None:
    known.see(CARDS)
    known.say(CARDS[0].uuid, "drained")
    for _ in range(2):
        note_faults(known.store, HERE, [Fault(uuid=CARDS[0].uuid, reason="Xid 79")])
    assert known.devices()[CARDS[0].uuid].reason == "fan; Xid 79"
    assert known.row(CARDS[0].uuid).admin_by == "ana"


def test_a_restart_ends_what_the_driver_reported_and_nothing_that_people_said(
    known: Known,
) -> None:
    known.see(CARDS)
    note_faults(known.store, HERE, [Fault(uuid=CARDS[0].uuid, reason="Xid 79")])
    known.say(CARDS[1].uuid, "drained")
    known.here = replace(HERE, boot_id="boot-2")
    assert known.see(CARDS)
    assert known.health() == ["healthy", "drained"]
