from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from typing import Any

import pytest

from airflow_ai_provider.cli import main
from airflow_ai_provider.core.errors import GpuRequestError, SettingsError
from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Health, PartialView
from airflow_ai_provider.core.gpu.driver import Trouble
from airflow_ai_provider.core.gpu.health import Fault
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.services.doctor_checks import Check
from airflow_ai_provider.services.doctor_gpu import devices as examine
from airflow_ai_provider.services.gpu import GpuPool, held
from airflow_ai_provider.services.gpu_inventory import Inventory, inventory_of
from airflow_ai_provider.services.keepers import NoKeeper
from airflow_ai_provider.services.settings import GpuSettings
from airflow_ai_provider.testing import (
    FakeClock,
    FakeDriver,
    fake_devices,
    fake_uuid,
    memory_store,
)

CARDS = fake_devices(2, host="h", kind=DeviceKind.GPU, memory_mib=1000)


class Host:
    """A host with a fake driver, and its inventory."""

    def __init__(self, static: str = "", devices: tuple[Device, ...] = CARDS) -> None:
        self.driver = FakeDriver(devices)
        self.clock = FakeClock()
        self.settings = GpuSettings(static_devices=static, device_host="h")
        self.inventory = Inventory(self.settings, driver=self.driver, clock=self.clock)

    def look(self) -> tuple[Device, ...] | None:
        return self.inventory.devices(max_age=-1)


def test_a_host_has_what_its_driver_and_its_settings_say() -> None:
    found = Host("cpu:0, npu:0@2GiB").look()
    assert found is not None
    assert [(d.uuid, d.kind, d.memory_mib, d.host) for d in found] == [
        (fake_uuid(0), DeviceKind.GPU, 1000, "h"),
        (fake_uuid(1), DeviceKind.GPU, 1000, "h"),
        ("cpu:0", DeviceKind.STATIC, None, "h"),
        ("npu:0", DeviceKind.STATIC, 2048, "h"),
    ]


def test_a_look_serves_for_half_a_minute() -> None:
    host = Host()
    host.inventory.devices()
    host.clock.advance(30)
    host.inventory.devices()
    assert host.driver.looks == 1
    host.inventory.devices(max_age=10)
    assert host.driver.looks == 2
    host.clock.advance(31)
    host.inventory.devices()
    assert host.driver.looks == 3


def test_without_a_library_there_is_what_is_declared_or_no_source_at_all() -> None:
    declared, bare = Host("cpu:0"), Host()
    declared.driver.trouble = bare.driver.trouble = Trouble.NO_LIBRARY
    assert [d.uuid for d in declared.look() or ()] == ["cpu:0"]
    assert bare.look() is None


def test_without_a_driver_there_are_no_cards() -> None:
    host = Host()
    host.look()
    host.driver.trouble = Trouble.NO_DRIVER
    assert host.look() == ()


@pytest.mark.parametrize("trouble", [t for t in Trouble if not t.means_none])
def test_a_silent_driver_leaves_the_last_answer(
    trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host("cpu:0")
    before = host.look()
    host.driver.trouble = trouble
    with caplog.at_level(logging.WARNING):
        assert host.look() == before
        host.look()
    assert len(caplog.records) == 1
    assert trouble.sentence in caplog.text
    assert host.inventory.trouble is trouble


def test_a_driver_that_never_spoke_says_nothing_of_who_is_there() -> None:
    host = Host("cpu:0")
    host.driver.trouble = Trouble.MISMATCH
    found = host.look()
    assert isinstance(found, PartialView)
    assert ([d.uuid for d in found], found.missing) == (["cpu:0"], None)


def test_a_card_that_is_lost_is_still_listed() -> None:
    host = Host("cpu:0")
    host.look()
    host.driver.devices = PartialView(CARDS[:1], missing=Health.UNHEALTHY, why="GPU is lost")
    for _ in range(2):
        found = host.look()
        assert isinstance(found, PartialView)
        assert {d.uuid: (d.health.value, d.reason) for d in found} == {
            fake_uuid(0): ("healthy", ""),
            fake_uuid(1): ("unhealthy", "GPU is lost"),
            "cpu:0": ("healthy", ""),
        }
    host.driver.devices = CARDS
    assert {d.health for d in host.look() or ()} == {Health.HEALTHY}


def test_faults_are_told_once_and_make_the_next_look_a_new_one() -> None:
    host = Host()
    host.inventory.devices()
    fault = Fault(uuid=fake_uuid(0), reason="Xid 79")
    host.driver.reports = [fault]
    assert host.inventory.watch() == (fault,)
    host.inventory.devices()
    assert host.driver.looks == 2
    assert host.inventory.watch() == ()
    host.driver.trouble = Trouble.NO_ANSWER
    assert host.inventory.watch() == ()


def test_the_probe_asks_the_driver_of_its_own_devices_only() -> None:
    host = Host(f"cpu:0,{fake_uuid(1)}")
    for name in ("cpu:0", "npu:7", fake_uuid(0), fake_uuid(1)):
        host.driver.pids[name] = {7}
        host.driver.busy[name] = 50.0
    probe = host.inventory.probe
    assert probe.occupants(fake_uuid(0)).pids == {7}
    assert probe.busy_percent(fake_uuid(0)) == 50
    for name in ("cpu:0", "npu:7", fake_uuid(1)):  # declared, or once declared
        assert not probe.occupants(name).pids
        assert probe.occupants(name).is_certain
        assert probe.busy_percent(name) is None


def test_a_process_has_one_inventory_and_a_forked_child_another() -> None:
    settings = GpuSettings(static_devices="cpu:0", device_host="fork")
    mine = inventory_of(settings)
    assert inventory_of(replace(settings)) is mine
    child = os.fork()
    if not child:
        os._exit(0 if inventory_of(settings) is not mine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_wrong_declaration_is_refused() -> None:
    with pytest.raises(SettingsError, match="twice"):
        Host("cpu:0,cpu:0").look()


def pool_of(host: Host) -> GpuPool:
    return GpuPool(memory_store(), host.settings, keeper=NoKeeper(), inventory=host.inventory)


def ask(pool: GpuPool, holder: str = "a", **wants: Any) -> tuple[str, ...]:
    with held(pool, pool.acquire(pool.ticket(GpuRequest.of(**wants), holder=holder))) as lease:
        return lease.devices


def test_cards_and_instances_are_leased_by_what_they_are() -> None:
    devices = fake_devices(1, host="h", kind=DeviceKind.GPU, memory_mib=1000, mig=["1g.10gb"])
    pool = pool_of(Host("cpu:0", devices))
    assert ask(pool, mig_profile="1g.10gb") == (fake_uuid(0, "MIG"),)
    assert ask(pool, gpu_memory="500MiB") == (fake_uuid(0),)
    assert set(ask(pool, gpus=2)) == {fake_uuid(0), "cpu:0"}
    assert pool.try_acquire(pool.ticket(GpuRequest.of(gpu_model="fake"), holder="b")) is not None


def test_on_unified_memory_only_whole_cards_are_leased() -> None:
    card = fake_devices(1, host="h", kind=DeviceKind.GPU, model="NVIDIA GB10")
    pool = pool_of(Host(devices=card))
    assert ask(pool) == (fake_uuid(0),)
    with pytest.raises(GpuRequestError, match="can only be leased whole"):
        ask(pool, "b", gpu_memory="1GiB")


def test_an_ill_card_is_waited_for_and_not_granted() -> None:
    host = Host(devices=(replace(CARDS[0], health=Health.UNHEALTHY, reason="ECC"),))
    pool = pool_of(host)
    ticket = pool.ticket(GpuRequest.of(), holder="a")
    assert pool.try_acquire(ticket) is None
    view = pool.poll(ticket.id)
    assert view is not None
    assert view.reason == "devices_unhealthy"
    host.driver.devices = CARDS[:1]
    host.look()
    assert pool.try_acquire(ticket) is not None


def test_a_silent_driver_costs_no_registered_card() -> None:
    host = Host()
    pool = pool_of(host)
    assert ask(pool)
    late = Host()
    late.driver.trouble = Trouble.MISMATCH
    fresh = GpuPool(pool.gpu.store, late.settings, keeper=NoKeeper(), inventory=late.inventory)
    assert ask(fresh, "b", gpus=2) == (fake_uuid(0), fake_uuid(1))


def checks(host: Host) -> dict[str, Check]:
    return {check.name: check for check in examine(host.settings, host.driver)}


def test_the_doctor_counts_devices() -> None:
    devices = fake_devices(2, host="h", kind=DeviceKind.GPU, mig=["1g.10gb"])
    found = checks(Host("cpu:0", devices))
    assert found["devices"].message == ("Devices: 2 whole GPUs; 1 MIG instances; declared: cpu:0.")
    assert found["nvidia driver"].message == "NVIDIA's driver fake tells of 2 cards."
    assert all(check.ok for check in found.values())


@pytest.mark.parametrize("trouble", list(Trouble))
def test_the_doctor_says_what_is_the_matter_with_the_driver(trouble: Trouble) -> None:
    host = Host()
    host.driver.trouble = trouble
    check = checks(host)["nvidia driver"]
    assert check.ok == (trouble is Trouble.NO_LIBRARY)
    assert trouble.sentence in check.message
    assert check.remedy == (None if check.ok else trouble.remedy)


def test_the_doctor_warns_of_what_a_lease_will_meet() -> None:
    host = Host(devices=(replace(CARDS[0], compute_mode="exclusive_process"), CARDS[1]))
    host.driver.sees_our_pids = False
    found = checks(host)
    assert fake_uuid(0) in found["compute mode"].message
    assert "not of this container" in found["pid namespace"].message
    assert found["compute mode"].ok
    assert "device health" not in found


def test_the_doctor_names_ill_devices() -> None:
    host = Host(devices=(replace(CARDS[0], health=Health.UNHEALTHY, reason="2 ECC errors"),))
    check = checks(host)["device health"]
    assert (check.ok, f"{fake_uuid(0)}: 2 ECC errors" in check.message) == (False, True)
    host.driver.devices = PartialView([], missing=Health.UNHEALTHY, why="a card: GPU is lost")
    assert "a card: GPU is lost" in checks(host)["device health"].message


def test_the_doctor_refuses_a_wrong_declaration() -> None:
    assert not checks(Host("cpu:0,cpu:0"))["devices"].ok


def test_discover_lists_and_registers(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__STATIC_DEVICES", "cpu:0,npu:0@1GiB")
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__DEVICE_HOST", "h")
    store = ["--store", f"sqlite:///{tmp_path / 'ai.db'}", "--json"]
    assert main(["gpu", "discover", *store]) == 0
    listed = [d for d in json.loads(capsys.readouterr().out) if d["kind"] == "static"]
    assert not (tmp_path / "ai.db").exists()
    assert [(d["uuid"], d["host"], d["memory_mib"]) for d in listed] == [
        ("cpu:0", "h", None),
        ("npu:0", "h", 1024),
    ]
    assert main(["gpu", "discover", "--register", *store]) == 0
    capsys.readouterr()
    assert main(["gpu", "status", *store]) == 0
    status = json.loads(capsys.readouterr().out)["devices"]
    assert {d["uuid"] for d in status} >= {"cpu:0", "npu:0"}
