"""A lease on a real GPU; the same on fake libraries, so that the tests themselves are tested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gpu_real.host import GpuHost, eventually, fake_host, heard, let_end, real_host

pytestmark = pytest.mark.slow
_MODES = {
    "Default": "default",
    "Exclusive_Process": "exclusive_process",
    "Exclusive_Thread": "exclusive_thread",
    "Prohibited": "prohibited",
}


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.gpu)])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GpuHost]:
    """A host of each kind."""
    if request.param == "real":
        made = real_host(tmp_path)
    else:
        made = fake_host(tmp_path, request.getfixturevalue("fake_nvml"))
    yield made
    made.close()


def test_the_inventory_is_what_nvidia_smi_shows(host: GpuHost) -> None:
    found = {d["uuid"]: d for d in host.worker.ask("look")["devices"]}
    for line in host.smi.splitlines():
        uuid, name, memory, bus, mode, mig = (part.strip() for part in line.split(","))
        if mig == "Enabled":
            assert uuid not in found
            instances = [d for d in found.values() if d["parent_uuid"] == uuid]
            assert all(d["mig_profile"] and d["kind"] == "mig" for d in instances)
            continue
        device = found[uuid]
        assert (device["model"], device["topology"]["bus"].lower()) == (name, bus.lower())
        known = int(memory) if memory.isdigit() else None
        assert device["memory_mib"] == known
        assert device["compute_mode"] == _MODES[mode]
    cards = {d["parent_uuid"] or d["uuid"] for d in found.values()}
    assert cards <= {line.partition(",")[0] for line in host.smi.splitlines()}


def test_a_process_under_a_lease_is_listed_on_its_device(host: GpuHost) -> None:
    holder = host.hold()
    told = heard(holder)
    assert (told["device"], told["found_there"]) == (host.device, [])
    assert host.on(host.device) == [told["user"]]
    lease = host.lease()
    assert lease is not None
    assert (lease["id"], lease["state"]) == (told["lease"], "active")
    assert let_end(holder) == 0
    assert eventually(lambda: host.on(host.device) == [])
    assert eventually(lambda: host.lease() is None)


@pytest.mark.parametrize("by", ["itself", "child"])
def test_the_device_of_a_killed_holder_is_handed_on_when_nobody_is_on_it(
    host: GpuHost, by: str
) -> None:
    holder = host.hold(by)
    told = heard(holder)
    assert host.on(host.device) == [told["user"]]
    waiting = host.hold()
    holder.kill()
    next_one = heard(waiting)
    assert (next_one["device"], next_one["found_there"]) == (host.device, [])
    assert host.on(host.device) == [next_one["pid"]]
    assert let_end(waiting) == 0


def test_a_stranger_on_the_device_is_left_alone_and_the_lease_set_aside(host: GpuHost) -> None:
    holder = host.hold()
    heard(holder)
    stranger = host.start("use", CUDA_VISIBLE_DEVICES=host.device)
    pid = heard(stranger)["pid"]
    waiting = host.hold()
    holder.kill()
    assert eventually(lambda: (host.lease() or {}).get("state") == "quarantined", within=60)
    lease = host.lease()
    assert lease is not None
    assert str(pid) in lease["reason"]
    assert host.on(host.device) == [pid]
    assert stranger.poll() is None
    assert let_end(stranger) == 0
    assert heard(waiting)["found_there"] == []
    assert let_end(waiting) == 0
