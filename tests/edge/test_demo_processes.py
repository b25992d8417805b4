"""The demo leaves no process behind, whatever ends it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from airflow_ai_provider.core.errors import DemoError
from airflow_ai_provider.demo.processes import descendants, free_ports, require_free

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl")

# A child that leaves when asked, one that does not, one with an orphan in a session of its own that
# does not either, and one that goes on making such orphans.
CHILDREN = """
import os, signal, subprocess, sys, time
mark, kind = sys.argv[1:3]
def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
def orphan():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            stubborn()
            time.sleep(600)
        os._exit(0)
    os.wait()
if kind == "stubborn":
    stubborn()
if kind == "parent":
    orphan()
if kind == "breeder":
    stubborn()
    while True:
        orphan()
        time.sleep(0.01)
print("ready", flush=True)
time.sleep(600)
"""

DEMO = """
import os, signal, sys, time
from pathlib import Path
from airflow_ai_provider.demo.processes import Interrupts, Processes
folder, mark, script, life, patience, *kinds = sys.argv[1:]
interrupts = Interrupts()
interrupts.install()
print("installed", flush=True)
status = 0
try:
    processes = Processes(Path(folder))
    try:
        try:
            for number, kind in enumerate(kinds):
                command = [sys.executable, "-c", script, mark, kind]
                processes.start(f"{number}-{kind}", command, env=os.environ, cwd=Path(folder))
            print("started", flush=True)
            interrupts.pause(float(life))
        finally:
            processes.stop(float(patience))
            interrupts.hush()
    finally:
        interrupts.hush()
        processes.stop(float(patience))
except KeyboardInterrupt:
    status = interrupts.exit_status
sys.exit(status)
"""

Start = Callable[..., "subprocess.Popen[str]"]


def marked(mark: str) -> list[int]:
    """Return every living process with ``mark`` on its command line, the demo aside."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
        except OSError:
            continue
        if mark.encode() in command and CHILDREN.encode() == command[2] and state != b"Z":
            found.append(int(entry.name))
    return found


def gone(mark: str, within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while marked(mark):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# whoever runs the tests may do so under nohup
HEAR_HANG_UPS = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """Mark the processes of a test; end what a failed one left."""
    mark = f"mark-of-{os.getpid()}-{tmp_path.name}"
    yield mark
    deadline = time.monotonic() + 10
    while (left := marked(mark)) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def demo(tmp_path: Path, mark: str) -> Start:
    def start(
        *kinds: str, life: float = 60, patience: float = 0.3, before: str = HEAR_HANG_UPS
    ) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", before + DEMO, str(tmp_path), mark, CHILDREN]
        return subprocess.Popen(
            [*command, str(life), str(patience), *kinds], stdout=subprocess.PIPE, text=True
        )

    return start


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    while line := process.stdout.readline():
        if line.strip() == word:
            return
    raise AssertionError(f"ended before it said {word}")


def wait_ready(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 20
    while sum("ready" in log.read_text() for log in folder.glob("*.log")) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_normal_end_leaves_nothing(demo: Start, mark: str) -> None:
    process = demo("polite", "stubborn", "parent", "parent", "breeder", life=1.0)
    assert process.wait(20) == 0
    assert marked(mark) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_everything(demo: Start, mark: str, tmp_path: Path, number: int) -> None:
    process = demo("polite", "stubborn", "parent", "breeder")
    wait_for(process, "started")
    wait_ready(tmp_path, 3)
    assert marked(mark)
    process.send_signal(number)
    assert process.wait(20) == 128 + number
    assert marked(mark) == []


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08])
def test_interrupt_at_any_moment_of_the_start(demo: Start, mark: str, delay: float) -> None:
    process = demo(*["parent", "stubborn"] * 5, patience=0.1)
    wait_for(process, "installed")
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert marked(mark) == []


def test_impatient_user_cannot_tear_the_stopping(demo: Start, mark: str, tmp_path: Path) -> None:
    process = demo("stubborn", "parent", patience=0.5)
    wait_ready(tmp_path, 2)
    for _ in range(20):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    assert process.wait(20) == 130
    assert marked(mark) == []


def test_hang_up_is_ignored_under_nohup(demo: Start, mark: str) -> None:
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    process = demo("polite", life=0.5, before=ignore)
    wait_for(process, "started")
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == 0
    assert marked(mark) == []


def test_polite_child_leaves_before_patience_ends(demo: Start) -> None:
    process = demo("polite", life=0.5, patience=60)
    wait_for(process, "started")
    began = time.monotonic()
    assert process.wait(20) == 0
    assert time.monotonic() - began < 10


def test_killed_demo_takes_its_polite_children_along(
    demo: Start, mark: str, tmp_path: Path
) -> None:
    process = demo("polite", "polite")
    wait_ready(tmp_path, 2)
    process.kill()
    process.wait(20)
    assert gone(mark)


def test_descendants_are_found_below_any_process(demo: Start, mark: str, tmp_path: Path) -> None:
    process = demo("parent")
    wait_ready(tmp_path, 1)
    below = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    assert len(below) >= 2  # the child, and its orphan whom the demo adopted


def test_ports_are_free_and_differ() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert [require_free(port, what="Airflow") for port in ports] == ports


def test_taken_port_is_a_typed_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DemoError, match=f"Airflow cannot listen on 127.0.0.1:{port}") as caught:
            require_free(port, what="Airflow")
    assert caught.value.facts == {"port": port}
    assert "another port" in str(caught.value)


def test_port_that_is_none_is_a_typed_error() -> None:
    with pytest.raises(DemoError, match="MLflow cannot listen"):
        require_free(70_000, what="MLflow")
