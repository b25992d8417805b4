"""A holder for the tests of real processes: takes leases and logs its own intervals.

usage: gpu_worker.py LOG MODE; the store is named by the environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from airflow_ai_provider.services.gpu import Lease, gpu_lease

LOG, MODE = sys.argv[1], sys.argv[2]
SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
DEAF = [
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
]


def say(event: str, lease: Lease | None = None, **more: object) -> None:
    line = {"event": event, "pid": os.getpid(), "at": time.monotonic(), **more}
    if lease is not None:
        line |= {"lease": lease.id, "fence": lease.fence, "devices": lease.devices}
    descriptor = os.open(LOG, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(descriptor, json.dumps(line).encode() + b"\n")
    os.close(descriptor)


def start(program: list[str]) -> int:
    return subprocess.Popen(
        program, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ).pid


def hold_with_deaf_child() -> None:
    with gpu_lease() as lease:
        say("held", lease, child=start(DEAF))
        time.sleep(60)


def hold() -> None:
    with gpu_lease(max_wait=40) as lease:
        say("held", lease)
        time.sleep(60)


def leave_child() -> None:
    with gpu_lease() as lease:
        child = start(SLEEP)
        say("held", lease, child=child)
    say("released", child=child)
    time.sleep(60)


{"hold": hold, "deaf": hold_with_deaf_child, "leave": leave_child}[MODE]()
