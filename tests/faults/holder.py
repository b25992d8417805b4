"""Holders of devices for the fault runs: real processes that log what they use and when.

usage: holder.py FOLDER, then lines ``NAME SEED`` on standard input, each answered with the pid of a
new holder. Holders are forked from here, so that one that was killed costs no second import. Files
in FOLDER steer them: while there is ``idle`` they finish what they do and rest, with ``stop`` they
end.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.errors import AirflowAiError, LeaseLostError
from airflow_ai_provider.services.gpu import Lease, gpu_lease
from tests.faults.clock import identity, now

SHARES = {"1GiB": 1024, "2GiB": 2048, "5GiB": 5120}  # of the 8 GiB that a device has


class Log:
    """Appends events to a file of one process's own, each in one write."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC)
        self.who = identity(os.getpid())

    def __call__(self, event: str, **facts: Any) -> None:
        line = {"e": event, "t": now(), "who": self.who, **facts}
        os.write(self._file, b"\n" + json.dumps(line).encode())  # behind a torn line too


class Holder:
    """One process that takes, uses and gives back devices, over and over."""

    def __init__(self, folder: Path, name: str, seed: int) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.log = Log(folder / f"{name}.jsonl")
        self.asks = 0
        self.forked: list[int] = []

    def live(self) -> None:
        while not (self.folder / "stop").exists():
            if (self.folder / "idle").exists():
                time.sleep(0.05)
            else:
                self.once()
                self.forked = [pid for pid in self.forked if os.waitpid(pid, os.WNOHANG) == (0, 0)]

    def once(self) -> None:
        memory = self.chance.choice([None, None, *SHARES])
        gpus = None if memory else self.chance.choice([1, 1, 2])
        max_wait = self.chance.choice([0.2, 2.0]) if self.chance.random() < 0.1 else None
        self.asks += 1
        ask = f"{self.log.who}.{self.asks}"  # pids come again
        self.log("ask", ask=ask, gpus=gpus, share=SHARES[memory] if memory else None)
        lease = None
        try:
            with gpu_lease(gpus=gpus, gpu_memory=memory, max_wait=max_wait) as lease:
                self._use(lease, ask, shared=memory is not None)
            self.log("released", lease=lease.id)
        except LeaseLostError as error:
            self.log("loss", ask=ask, lease=lease and lease.id, reason=str(error))
        except AirflowAiError as error:
            reason = error.facts.get("reason") or str(error)
            told = "answer" if lease is None else "loss"
            self.log(told, ask=ask, error=type(error).__name__, reason=reason)
            time.sleep(0.1)

    def _use(self, lease: Lease, ask: str, *, shared: bool) -> None:
        devices = [f"{lease.host}/{name}" for name in lease.devices]
        self.log("start", ask=ask, lease=lease.id, fence=lease.fence, devices=devices)
        locks = [self._lock(lease, device, shared=shared) for device in devices]
        if self.chance.random() < 0.15:
            child = self._start_child(locks)
            self.log("child", lease=lease.id, child=child)
        time.sleep(self.chance.random() * 0.2)
        self.log("end", lease=lease.id)
        for lock in locks:
            os.close(lock)  # a child that inherited it keeps the device locked

    def _lock(self, lease: Lease, device: str, *, shared: bool) -> int:
        """Take the kernel's lock of a device: free only when all who inherited it are dead."""
        path = self.folder / f"{device.replace('/', '-')}.use"
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            self.log("clash", lease=lease.id, device=device)
        return lock

    def _start_child(self, locks: list[int]) -> str:
        seconds = self.chance.choice([0.3, 1.0, 60.0])  # the last must be ended
        kind = self.chance.choice(["fork", "program", "deaf"])
        if kind == "fork":
            pid = os.fork()
            if pid == 0:
                time.sleep(seconds)
                os._exit(0)
            self.forked.append(pid)
            return identity(pid)
        ignore = "trap '' TERM; " if kind == "deaf" else ""
        program = subprocess.Popen(
            ["sh", "-c", f"{ignore}exec sleep {seconds}"],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            pass_fds=locks,
        )
        return identity(program.pid)


def with_nursery_to_death() -> None:
    """Be killed when the nursery ends: a test that was cut off leaves no holder."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def main() -> None:
    folder = Path(sys.argv[1])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel clears up dead holders
    for line in sys.stdin:
        name, seed = line.split()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            with_nursery_to_death()
            for descriptor in (0, 1):  # the nursery's
                os.close(descriptor)
            holder = Holder(folder, name, int(seed))
            try:
                holder.live()
            except Exception as error:  # noqa: BLE001 - the checker calls it a fault
                holder.log("crash", error=repr(error))
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
