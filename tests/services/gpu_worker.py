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
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [
    sys.executable,
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


def start_child(kind: str) -> int:
    if kind == "fork":
        pid = os.fork()
        if pid == 0:
            os.setsid()
            time.sleep(60)
            os._exit(0)
        return pid
    program = {"exec": SLEEP, "deaf": DEAF}[kind]
    return subprocess.Popen(
        program, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ).pid


def hold_with_child(kind: str) -> None:
    with gpu_lease() as lease:
        child = start_child(kind)
        time.sleep(2.5)  # long enough for the keeper to see what was only forked
        say("held", lease, child=child)
        time.sleep(60)


def hold() -> None:
    with gpu_lease(max_wait=40) as lease:
        say("held", lease)
        time.sleep(60)


def leave_child() -> None:
    with gpu_lease() as lease:
        child = start_child("exec")
        say("held", lease, child=child)
    say("released", child=child)
    time.sleep(60)


if MODE.startswith("child:"):
    hold_with_child(MODE.partition(":")[2])
else:
    {"hold": hold, "leave": leave_child}[MODE]()
