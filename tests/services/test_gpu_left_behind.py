"""What dead holders leave, however they started it: found, ended, and only then handed on."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.adapters import cgroup, processes
from airflow_ai_provider.core.gpu.lease import Process
from tests.services.test_gpu_processes import Stage, gone, wait_for_keeper

PARENT = Path(__file__).with_name("gpu_parent.py")


class Holder:
    """A process that holds the only device, with a child of some kind."""

    def __init__(self, stage: Stage, kind: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PARENT), kind],
            env=stage.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=(stage.folder / "stderr.log").open("ab"),
        )  # fmt: skip
        stage.started.append(self.process)

    def said(self, timeout: float = 60) -> dict[str, Any]:
        """What it prints once it holds its lease."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], timeout)[0], "it does not hold"
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def let_go(self) -> None:
        """Have it release, and wait until it has."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        assert "released" in self.said()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def wait_until(what: Callable[[], bool], timeout: float = 25) -> None:
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


def renewed_after(stage: Stage, before: Any = None) -> Any:
    """The only lease, once it was renewed since ``before``, or since now."""
    before = before or stage.live()[0]
    wait_until(lambda: stage.live()[0].expires_at > before.expires_at)
    return stage.live()[0]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    staged = Stage(tmp_path, devices="cpu:0")
    yield staged
    staged.close()


@pytest.mark.parametrize("kind", ["bash", "deaf", "forked_twice", "data_loader", "unmarked"])
def test_what_a_killed_holder_left_is_ended_and_the_device_handed_on_soon(
    stage: Stage, kind: str
) -> None:
    holder = Holder(stage, kind)
    child = holder.said()["child"]
    below = processes.started_by([p]) if (p := processes.identify(child)) else set()
    waiter = Holder(stage, "alone")
    time.sleep(1)
    holder.kill()
    pids = {child, *(p.pid for p in below)}
    while not all(gone(pid) for pid in pids):
        assert waiter.process.stdout is not None
        assert not select.select([waiter.process.stdout], [], [], 0.01)[0], "handed on too soon"
    ended = time.monotonic()
    assert waiter.said(timeout=20)["fence"] == 2
    assert time.monotonic() - ended <= 5


def test_with_the_keeper_dead_too_it_takes_the_time_to_live_and_ten_seconds(stage: Stage) -> None:
    holder = Holder(stage, "bash")
    child = holder.said()["child"]
    waiter = Holder(stage, "alone")
    time.sleep(1)
    os.kill(wait_for_keeper(stage), signal.SIGKILL)
    holder.kill()
    killed = time.monotonic()
    assert waiter.said()["fence"] == 2
    assert time.monotonic() - killed <= 4 + 10
    assert gone(child)


def test_a_new_keeper_ends_what_the_one_before_it_saw_forked(stage: Stage) -> None:
    holder = Holder(stage, "forked_twice")
    child = holder.said()["child"]
    os.kill(wait_for_keeper(stage), signal.SIGKILL)
    holder.kill()
    waiter = Holder(stage, "alone")
    assert waiter.said()["fence"] == 2
    assert gone(child)


def test_a_store_that_is_away_ends_the_holder_at_its_deadline_and_not_before(
    tmp_path: Path,
) -> None:
    """The store is away as long as somebody sits on its lock."""
    stage = Stage(tmp_path, devices="cpu:0", AIRFLOW__AI_PROVIDER__LEASE_TTL="12")
    try:
        holder = Holder(stage, "alone")
        holder.said()
        before = renewed_after(stage)
        with stage.store.write():
            away_since = time.clock_gettime(time.CLOCK_BOOTTIME)
            renewed = before.expires_at - 12
            while holder.process.poll() is None:
                assert time.clock_gettime(time.CLOCK_BOOTTIME) - away_since < 20
                time.sleep(0.02)
            died = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert holder.process.returncode == -signal.SIGKILL
        assert renewed + 9 - 0.1 <= died <= renewed + 12  # within the time that others wait
        stage.wait_until_none_live(15)
    finally:
        stage.close()


def test_a_holder_outlives_a_store_that_is_away_for_less(tmp_path: Path) -> None:
    stage = Stage(tmp_path, devices="cpu:0", AIRFLOW__AI_PROVIDER__LEASE_TTL="12")
    try:
        holder = Holder(stage, "alone")
        holder.said()
        before = renewed_after(stage)
        with stage.store.write():
            time.sleep(5.5)
        after = renewed_after(stage, before)  # and so its deadline is another
        assert after.state.value == "active"
        wait_until(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) > before.expires_at - 3 + 1)
        assert holder.process.poll() is None
        (lease,) = stage.live()
        assert lease.state.value == "active"
    finally:
        stage.close()


def test_a_keeper_that_was_stopped_for_long_kills_first(tmp_path: Path) -> None:
    stage = Stage(tmp_path, devices="cpu:0", AIRFLOW__AI_PROVIDER__LEASE_TTL="6")
    try:
        holder = Holder(stage, "alone")
        holder.said()
        keeper = wait_for_keeper(stage)
        time.sleep(2)
        os.kill(keeper, signal.SIGSTOP)
        time.sleep(7)
        assert holder.process.poll() is None
        os.kill(keeper, signal.SIGCONT)
        assert holder.process.wait(timeout=5) == -signal.SIGKILL
        stage.wait_until_none_live(15)
    finally:
        stage.close()


def test_a_notebook_that_computes_nothing_is_warned_and_then_ended(tmp_path: Path) -> None:
    stage = Stage(tmp_path, devices="cpu:0", IDLE_LIMIT="8", AIRFLOW__AI_PROVIDER__LEASE_TTL="20")
    try:
        holder = Holder(stage, "alone")
        holder.said()
        held = time.monotonic()
        wait_until(lambda: [lease.reason[:4] for lease in stage.live()] == ["idle"])
        (shown,) = stage.status()["devices"][0]["holders"]
        assert shown["reason"].startswith("idle; it ends in")
        assert holder.process.poll() is None
        assert holder.process.wait(timeout=20) == -signal.SIGTERM
        assert time.monotonic() - held >= 7
        stage.wait_until_none_live(15)
    finally:
        stage.close()


def test_a_group_encloses_what_leaves_its_session_where_it_may_be_made() -> None:
    """Where this user may make no group, there is none, and the process is left where it was."""
    script = "import os, sys, time\nsys.stdin.readline()\nif os.fork() == 0:\n os.setsid()\n" \
        " if os.fork() == 0: time.sleep(60)\n os._exit(0)\nos.wait()\n" \
        "print('forked', flush=True)\ntime.sleep(60)"  # fmt: skip
    holder = subprocess.Popen(
        [sys.executable, "-S", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    me = processes.identify(holder.pid)
    assert me is not None
    where = Path(f"/proc/{holder.pid}/cgroup").read_text()
    group = cgroup.enclose("test" + str(holder.pid), me)
    try:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        holder.stdout.readline()
        if group is None:
            assert Path(f"/proc/{holder.pid}/cgroup").read_text() == where
            return
        assert me in cgroup.members(group)
        orphans = cgroup.members(group) - {me}
        assert len(orphans) == 1
        cgroup.dissolve(group)
        assert not Path(group).exists()
        assert Path(f"/proc/{holder.pid}/cgroup").read_text() == where
        again = cgroup.enclose("test" + str(holder.pid), me)
        assert again == group
        if cgroup.kill(group):
            holder.wait(timeout=5)
        end_all(orphans)
    finally:
        holder.kill()
        holder.wait()
        if group is not None:
            cgroup.dissolve(group)


def end_all(orphans: set[Process]) -> None:
    for orphan in orphans:
        processes.send_signal(orphan, signal.SIGKILL)
