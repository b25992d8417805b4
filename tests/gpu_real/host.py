"""A host with a device to try things on: a real one, or the fake libraries."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.core.gpu.devices import DeviceKind
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_status import snapshot
from airflow_ai_provider.store.schema import device
from tests.fake_nvml import FakeNvml
from tests.fake_nvml.worker import Worker
from tests.gpu_real import program

QUERY = "uuid,name,memory.total,pci.bus_id,compute_mode,mig.mode.current"


@dataclass
class GpuHost:
    """Programs, the driver's word and the store of one test; all but one device are set aside.

    ``smi`` is what ``nvidia-smi --query-gpu=QUERY`` prints.
    """

    env: dict[str, str]
    url: str
    smi: str
    device: str = ""
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    worker: Worker = field(init=False)

    def __post_init__(self) -> None:
        self.env = {
            **os.environ,
            **self.env,
            "AIRFLOW__AI_PROVIDER__DEVICE_HOST": "gpu-test",
            "AIRFLOW__AI_PROVIDER__LEASE_TTL": "20",
        }
        self.worker = Worker(self.env)
        self._choose()

    def _choose(self) -> None:
        """Register the devices and leave one that nobody uses to be leased."""
        listed = json.loads(self.run("gpu", "discover", "--register"))
        idle = [
            d["uuid"]
            for d in listed
            if (d["health"], d["kind"]) == ("healthy", DeviceKind.GPU.value)
            and not self.on(d["uuid"])
        ]
        if not idle:
            pytest.skip("needs a healthy GPU that nobody uses, whole, and there is none")
        self.device = idle[0]
        store = Store.open(self.url)
        with store.write() as connection:
            connection.execute(
                device.update()
                .where(device.c.uuid != self.device)
                .values(admin_state="drained", admin_reason="not for this test", admin_by="test")
            )
        store.close()

    def run(self, *args: str) -> str:
        """Return what ``airflow-ai ARGS --json`` prints."""
        return subprocess.run(
            [sys.executable, "-m", "airflow_ai_provider.cli", *args, "--store", self.url, "--json"],
            env=self.env,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        """Start a program of ``tests.gpu_real.program``."""
        self.started.append(program.start(*args, env={**self.env, **env}))
        return self.started[-1]

    def hold(self, *more: str) -> subprocess.Popen[str]:
        """Start a program that leases the device and uses it."""
        return self.start("hold", self.url, *more)

    def on(self, uuid: str) -> list[int]:
        """Return the pids that the driver lists on a device."""
        answer = self.worker.ask("occupants", uuid)
        if not answer["is_certain"]:
            pytest.skip(f"needs a driver whose list can be believed here: {answer}")
        return list(answer["pids"])

    def lease(self) -> dict[str, Any] | None:
        """Return the lease on the device, as ``airflow-ai gpu status`` shows it."""
        store = Store.open(self.url)
        try:
            devices = {d["uuid"]: d for d in snapshot(store)["devices"]}
        finally:
            store.close()
        holders = devices[self.device]["holders"]
        return dict(holders[0]) if holders else None

    def close(self) -> None:
        """End what was started."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.worker.close()


def heard(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the next document that a program prints."""
    assert process.stdout is not None
    return dict(json.loads(process.stdout.readline()))


def let_end(process: subprocess.Popen[str]) -> int:
    """Let a program end by itself and return its exit status."""
    assert process.stdin is not None
    process.stdin.close()
    return process.wait(timeout=30)


def eventually(what: Callable[[], bool], *, within: float = 30.0) -> bool:
    """Whether ``what`` becomes true in time."""
    deadline = time.monotonic() + within
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def real_host(tmp_path: Path) -> GpuHost:
    """Return this machine's GPUs; skip, naming what is absent."""
    try:
        for library in ("libnvidia-ml.so.1", "libcuda.so.1"):
            ctypes.CDLL(library)
    except OSError as error:
        pytest.skip(f"needs NVIDIA's driver: {error}")
    if shutil.which("nvidia-smi") is None:
        pytest.skip("needs nvidia-smi, and it is not in PATH")
    listed = subprocess.run(
        ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip(f"needs a driver that answers nvidia-smi: {listed.stdout}{listed.stderr}")
    return GpuHost(env={}, url=f"sqlite:///{tmp_path / 'ai.db'}", smi=listed.stdout)


def fake_host(tmp_path: Path, fake: FakeNvml) -> GpuHost:
    """Return the fake libraries' node of two cards, and what nvidia-smi would print of it."""
    smi = "".join(
        f"{card.uuid}, {card.name}, {card.memory_mib}, {card.bus}, Default, Disabled\n"
        for card in fake.machine.cards
    )
    return GpuHost(env=fake.env, url=f"sqlite:///{tmp_path / 'ai.db'}", smi=smi)
