"""The demo's child processes: started so that they surely stop.

Airflow's scheduler waits for running tasks when it is told to stop, and its orphaned workers stay
for ever. So this process makes itself the reaper of every orphan below it, and at the end kills
whatever still lives there, in whatever session or process group, until nothing does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from airflow_ai_provider.core.errors import DemoError

LOCALHOST = "127.0.0.1"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_UNKILLABLE_AFTER = 30.0
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, kw_only=True)
class Child:
    """One started program; its output goes to ``log``."""

    name: str
    pid: int
    log: Path

    def tail(self, lines: int = 30) -> str:
        """Return the end of its log."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError as error:
            return f"(its log {self.log} cannot be read: {error.strerror})"
        return "\n".join(text.splitlines()[-lines:])


class Interrupts:
    """SIGINT, SIGTERM and SIGHUP as one KeyboardInterrupt, once.

    Only the first raises: a second Ctrl-C cannot tear the stopping that the first began. A signal
    that whoever started us chose to ignore (``nohup``) stays ignored, SIGINT aside: shells ignore
    it for every background job.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def install(self) -> None:
        """Take the signals over."""
        for number in _INTERRUPTS:
            if number is signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    def pause(self, seconds: float) -> None:
        """Sleep, and raise an interrupt that was lost (in a finaliser say) before and after.

        :raises KeyboardInterrupt: the demo was told to end.
        """
        for rest in (seconds, 0.0):
            if self.received is not None:
                raise KeyboardInterrupt
            time.sleep(rest)

    def hush(self) -> None:
        """Ignore these signals from now on: the end is near and must not be torn."""
        for number in _INTERRUPTS:
            signal.signal(number, signal.SIG_IGN)

    @property
    def exit_status(self) -> int:
        """The exit status that a shell expects of a program ended by this signal."""
        return 128 + (self.received or signal.SIGINT)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
            raise KeyboardInterrupt


class Processes:
    """Every child of the demo.

    Start from the main thread only: the kernel's parent-death signal follows the thread.
    """

    def __init__(self, log_folder: Path) -> None:
        self._log_folder = log_folder
        self._popen: dict[int, subprocess.Popen[bytes]] = {}
        self._exit: dict[int, int] = {}
        self._libc = _libc()
        if self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise DemoError(
                "This process may not adopt its orphans, so nothing could be surely stopped.",
                remedy="Run the demo on Linux 3.4 or later, outside this sandbox.",
            )

    def start(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path
    ) -> Child:
        """Start ``command`` in a session of its own, away from the terminal."""
        self._log_folder.mkdir(parents=True, exist_ok=True)
        log = self._log_folder / f"{name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                list(command),
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=self._before_exec(),  # noqa: PLW1509 - one thread, and prctl needs it
            )
        self._popen[popen.pid] = popen
        return Child(name=name, pid=popen.pid, log=log)

    def exit_status(self, child: Child) -> int | None:
        """Return the child's exit status, negative for a signal; None while it runs."""
        self.reap()
        return self._exit.get(child.pid)

    def reap(self) -> None:
        """Take note of every child and every adopted orphan that ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._popen.clear()  # an interrupt may have torn the noting of one that ended
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            self._exit[pid] = code
            if popen := self._popen.pop(pid, None):
                popen.returncode = code

    def stop(self, patience: float = 8.0) -> None:
        """End every process below this one: asked first, killed after ``patience`` seconds.

        May be called again, also after an interrupt tore it.

        :raises DemoError: something outlived SIGKILL, which only the kernel can explain.
        """
        for pid in list(self._popen):
            if _parent(pid) == os.getpid():
                _signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while self._popen and time.monotonic() < deadline:
            self.reap()
            time.sleep(0.05)
        deadline = time.monotonic() + _UNKILLABLE_AFTER
        while left := descendants():
            for pid in left:
                _signal(pid, signal.SIGKILL)
            self.reap()
            if time.monotonic() > deadline:
                raise DemoError(
                    f"Processes {left} do not end, not even when killed.",
                    remedy="Look at them with ps: they hang in the kernel.",
                    pids=left,
                )
            time.sleep(0.02)
        self.reap()

    def _before_exec(self) -> Callable[[], None]:
        parent, prctl = os.getpid(), self._libc.prctl

        def prepare() -> None:
            prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

        return prepare


def descendants(root: int | None = None) -> list[int]:
    """Return every process below ``root`` (this one unless said), zombies included."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (parent := _parent(int(entry.name))) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [os.getpid() if root is None else root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return sorted(found)


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ports that nobody listens on at 127.0.0.1."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOCALHOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def require_free(port: int, *, what: str) -> int:
    """Return ``port`` if ``what`` can listen there.

    :raises DemoError: somebody else does.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, port))
        except (OSError, OverflowError) as error:
            raise DemoError(
                f"{what} cannot listen on {LOCALHOST}:{port}: {error}.",
                remedy="Name another port, or none: then a free one is taken.",
                port=port,
            ) from error
    return port


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # it ended meanwhile
        return None
    return int(stat[stat.rindex(b")") + 2 :].split()[1])


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise DemoError(
            f"Process {pid}, started below the demo, belongs to another user now.",
            remedy="End it as that user.",
            pid=pid,
        ) from error


def _libc() -> ctypes.CDLL:
    if not sys.platform.startswith("linux"):
        raise DemoError(
            f"The demo cannot surely stop its processes on {sys.platform}.",
            remedy="Run it on Linux, in a container say.",
        )
    return ctypes.CDLL(None, use_errno=True)
