"""A holder that starts a child in the way that is asked for, says so, and sleeps.

usage: gpu_parent.py KIND; prints one JSON line with the child's pid once it holds a lease. A line
on its standard input has it release.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from airflow_ai_provider.services.gpu import gpu_lease

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(120)"]
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)"
SEEN_WITHIN = 30.0  # seconds


def wait_for_keeper() -> None:
    """What only forks is seen by a keeper that is there: at the first lease it is started."""
    folder = Path(tempfile.gettempdir())
    while not list(folder.glob("airflow-ai-*/*.sock")):
        time.sleep(0.05)


def wait_until_seen(pid: int) -> None:
    """Wait until the keeper has noted ``pid``; it looks once a second."""
    end = time.monotonic() + SEEN_WITHIN
    while not is_noted(pid):
        assert time.monotonic() < end, "the keeper does not see it"
        time.sleep(0.05)


def is_noted(pid: int) -> bool:
    folder = Path(tempfile.gettempdir())
    return any(
        pid == known[0]
        for notes in folder.glob("airflow-ai-*/*.notes")
        for lease in json.loads(notes.read_text())["leases"].values()
        for known in lease["known"]
    )


def forked_twice() -> int:
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        child = os.fork()
        if child == 0:
            time.sleep(120)
            os._exit(0)
        os.write(writer, str(child).encode())
        wait_until_seen(child)
        os._exit(0)
    pid = int(os.read(reader, 20))
    os.wait()
    return pid


def data_loader() -> int:
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=time.sleep, args=(120,), daemon=False)
    worker.start()
    wait_until_seen(int(worker.pid or 0))
    return int(worker.pid or 0)


def program(*words: str, environment: dict[str, str] | None = None) -> int:
    # as Airflow's SubprocessHook starts what BashOperator runs
    return subprocess.Popen(
        words, start_new_session=True, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ).pid  # fmt: skip


def unmarked() -> int:
    pid = program(*SLEEP, environment={})
    wait_until_seen(pid)
    return pid


KINDS = {
    "bash": lambda: program("bash", "-c", "sleep 120 & wait"),
    "deaf": lambda: program(sys.executable, "-S", "-c", DEAF),
    "forked_twice": forked_twice,
    "data_loader": data_loader,
    "unmarked": unmarked,
    "alone": os.getpid,
}

IDLE_LIMIT = os.environ.get("IDLE_LIMIT")

with gpu_lease(max_wait=60, idle_limit=float(IDLE_LIMIT) if IDLE_LIMIT else None) as lease:
    wait_for_keeper()
    child = KINDS[sys.argv[1]]()
    print(json.dumps({"child": child, "lease": lease.id, "fence": lease.fence}), flush=True)
    sys.stdin.readline()
print(json.dumps({"released": lease.id}), flush=True)
time.sleep(120)
