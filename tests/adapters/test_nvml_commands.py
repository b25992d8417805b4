"""The commands over the real ``pynvml`` and the fake library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.fake_nvml import MISMATCH, FakeNvml, mig_node, uuid_of


def run(fake: FakeNvml, *args: str) -> tuple[int, Any]:
    fake.write()
    done = subprocess.run(
        [sys.executable, "-m", "airflow_ai_provider.cli", *args, "--json"],
        env={**os.environ, **fake.env, "AIRFLOW__AI_PROVIDER__DEVICE_HOST": "h"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def test_discover_registers_what_the_driver_tells(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    fake_nvml.machine = mig_node()
    store = ["--store", f"sqlite:///{tmp_path / 'ai.db'}"]
    status, listed = run(fake_nvml, "gpu", "discover", "--register", *store)
    assert status == 0
    assert [(d["uuid"], d["mig_profile"], d["parent_uuid"]) for d in listed] == [
        (uuid_of(0), None, None),
        (uuid_of(10, "MIG"), "3g.40gb", uuid_of(1)),
        (uuid_of(11, "MIG"), "1g.10gb", uuid_of(1)),
        (uuid_of(12, "MIG"), "1g.10gb", uuid_of(1)),
    ]
    assert set(listed[0]) == {
        "uuid", "host", "kind", "model", "memory_mib", "mig_profile", "pool", "health", "reason",
        "parent_uuid", "topology", "compute_mode", "reserved_mib", "node",
    }  # fmt: skip
    fake_nvml.machine.cards[0].ecc = 1
    assert run(fake_nvml, "gpu", "discover", "--register", *store)[0] == 0
    known = {d["uuid"]: d for d in run(fake_nvml, "gpu", "status", *store)[1]["devices"]}
    assert set(known) == {d["uuid"] for d in listed}
    assert (known[uuid_of(0)]["health"], known[uuid_of(0)]["memory_mib"]) == ("unhealthy", 81559)


def test_discover_says_when_it_could_not_look(fake_nvml: FakeNvml) -> None:
    fake_nvml.machine.fail("nvmlInitWithFlags", MISMATCH)
    status, said = run(fake_nvml, "gpu", "discover")
    assert (status, said["error"]) == (2, "GpuDriverError")
    assert "another version" in said["message"]


def test_the_doctor_hears_of_an_upgrade_without_a_restart(
    fake_nvml: FakeNvml, tmp_path: Path
) -> None:
    store = ["--store", f"sqlite:///{tmp_path / 'ai.db'}"]
    run(fake_nvml, "gpu", "discover", "--register", *store)
    status, document = run(fake_nvml, "doctor", *store)
    seen = {check["name"]: check for check in document["checks"]}
    assert status == 0
    assert seen["devices"]["message"] == "Devices: 2 whole GPUs."
    assert "550.54.15" in seen["nvidia driver"]["message"]
    fake_nvml.machine.fail("nvmlInitWithFlags", MISMATCH)
    status, document = run(fake_nvml, "doctor", *store)
    (check,) = [c for c in document["checks"] if c["name"] == "nvidia driver"]
    assert (status, check["ok"]) == (1, False)
    assert "Restart the machine" in check["remedy"]
