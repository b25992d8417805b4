"""Leases of real processes, on SQLite, with a real keeper."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.adapters import processes
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_rows import read_leases
from airflow_ai_provider.store.gpu_status import snapshot
from airflow_ai_provider.store.schema import gpu_request
from tests.stores import store_file

WORKER = Path(__file__).with_name("gpu_worker.py")


class Stage:
    """A store on SQLite with its own keeper, and the holders that a test starts."""

    def __init__(self, folder: Path, *, devices: str, **environment: str) -> None:
        self.folder = folder
        self.log = folder / "intervals.jsonl"
        self.store = Store.open(store_file(folder / "airflow_ai.db"))
        self.started: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")},
            "TMPDIR": str(folder),
            "AIRFLOW_CONN_AI_STORE_DEFAULT": self.store.full_url,
            "AIRFLOW__AI_PROVIDER__STATIC_DEVICES": devices,
            "AIRFLOW__AI_PROVIDER__LEASE_TTL": "4",
            **environment,
        }

    def start(self, mode: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, str(WORKER), str(self.log), mode],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stderr=(self.folder / "stderr.log").open("ab"),
        )
        self.started.append(process)
        return process

    def events(self) -> list[dict[str, Any]]:
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def wait_for(self, event: str, *, pid: int, timeout: float = 30) -> dict[str, Any]:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for seen in self.events():
                if seen["event"] == event and seen["pid"] == pid:
                    return seen
            time.sleep(0.02)
        raise AssertionError(f"no {event} of {pid}: {(self.folder / 'stderr.log').read_text()}")

    def keeper(self) -> int | None:
        for lock in self.folder.glob("airflow-ai-*/*.lock"):
            with suppress(ValueError):
                pid = int(lock.read_text())
                if processes.identify(pid) is not None:
                    return pid
        return None

    def live(self) -> list[Any]:
        with self.store.read() as connection:
            return read_leases(connection)

    def status(self) -> dict[str, Any]:
        return snapshot(self.store)

    def wait_until_none_live(self, timeout: float) -> None:
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.live():
            time.sleep(0.05)
        assert self.live() == []

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()
        marked = {pid for pid, _ in processes.marks(processes.survey()) if self._ours(pid)}
        for pid in (*marked, self.keeper()):
            with suppress(ProcessLookupError, TypeError):
                os.kill(pid, signal.SIGKILL)  # type: ignore[arg-type]
        self.store.close()

    def _ours(self, pid: int) -> bool:
        with suppress(OSError):
            return str(self.folder).encode() in Path(f"/proc/{pid}/environ").read_bytes()
        return False


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    staged = Stage(tmp_path, devices="cpu:0")
    yield staged
    staged.close()


def gone(pid: int) -> bool:
    return processes.identify(pid) is None


def handed_on(stage: Stage, child: int, before: list[str]) -> bool:
    """Whether ``child`` is gone; while it lived nothing may have come after the events before."""
    events = [event["event"] for event in stage.events()]  # first: the child dies any moment
    if gone(child):
        return True
    assert events == before
    return False


def test_what_a_living_holder_left_is_ended_before_the_device_is_handed_on(stage: Stage) -> None:
    holder = stage.start("leave")
    child = stage.wait_for("released", pid=holder.pid)["child"]
    waiter = stage.start("hold")
    while not handed_on(stage, child, ["held", "released"]):
        time.sleep(0.01)
    stage.wait_for("held", pid=waiter.pid)
    assert holder.poll() is None


def test_a_living_holder_starts_another_keeper(stage: Stage) -> None:
    holder = stage.start("hold")
    held = stage.wait_for("held", pid=holder.pid)
    first = wait_for_keeper(stage)
    os.kill(first, signal.SIGKILL)
    second = wait_for_keeper(stage, other_than=first)
    assert second != first
    time.sleep(6)  # more than the time to live
    (lease,) = stage.live()
    assert (lease.id, lease.state.value) == (held["lease"], "active")


def test_the_next_lease_adopts_what_a_dead_keeper_and_its_holder_left(stage: Stage) -> None:
    holder = stage.start("deaf")
    child = stage.wait_for("held", pid=holder.pid)["child"]
    os.kill(wait_for_keeper(stage), signal.SIGKILL)
    holder.kill()
    holder.wait()
    waiter = stage.start("hold")
    while not handed_on(stage, child, ["held"]):
        time.sleep(0.01)
    stage.wait_for("held", pid=waiter.pid)


def test_a_keeper_with_nothing_to_keep_leaves(stage: Stage) -> None:
    holder = stage.start("hold")
    stage.wait_for("held", pid=holder.pid)
    keeper = wait_for_keeper(stage)
    holder.kill()
    holder.wait()
    end = time.monotonic() + 15
    while not gone(keeper) and time.monotonic() < end:
        time.sleep(0.1)
    assert gone(keeper)
    assert not list(stage.folder.glob("airflow-ai-*/*.sock"))


def test_a_waiter_that_died_is_passed_over(stage: Stage) -> None:
    holder = stage.start("hold")
    stage.wait_for("held", pid=holder.pid)
    dead = stage.start("hold")
    wait_for_waiters(stage, 1)
    alive = stage.start("hold")
    wait_for_waiters(stage, 2)
    for process in (dead, holder):
        process.kill()
        process.wait()
    stage.wait_for("held", pid=alive.pid)
    with stage.store.read() as connection:
        ticket = connection.execute(
            sa.select(gpu_request).where(gpu_request.c.waiter_pid == dead.pid)
        ).one()
    assert (ticket.state, ticket.reason) == ("withdrawn", "the process that waited is gone")


def wait_for_waiters(stage: Stage, count: int) -> None:
    waiting = sa.select(sa.func.count()).where(gpu_request.c.state == "pending")
    end = time.monotonic() + 15
    while time.monotonic() < end:
        with stage.store.read() as connection:
            if connection.execute(waiting).scalar_one() == count:
                return
        time.sleep(0.05)
    raise AssertionError(f"{count} waiters did not show")


def wait_for_keeper(stage: Stage, *, other_than: int | None = None) -> int:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        keeper = stage.keeper()
        if keeper is not None and keeper != other_than:
            return keeper
        time.sleep(0.02)
    raise AssertionError("no keeper stands")
