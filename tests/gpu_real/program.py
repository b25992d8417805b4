"""Programs that a test starts: one that uses a device's memory, one that does so under a lease.

``use`` takes memory of the first device it is shown and keeps it until its standard input ends;
``hold URL`` leases one device first, and ``hold URL child`` lets a program of its own that has left
its session use it. Each prints one JSON document a line.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from typing import Any

SIZE = 256 * 2**20  # bytes


def take_memory() -> ctypes.c_void_p:
    """Make a context on the first device and allocate ``SIZE`` bytes of it; return the context."""
    cuda = ctypes.CDLL("libcuda.so.1")
    device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    for call, *args in (
        (cuda.cuInit, 0),
        (cuda.cuDeviceGet, ctypes.byref(device), 0),
        (cuda.cuCtxCreate_v2, ctypes.byref(context), 0, device),
        (cuda.cuMemAlloc_v2, ctypes.byref(memory), ctypes.c_size_t(SIZE)),
    ):
        if code := call(*args):
            raise SystemExit(f"{call.__name__} returned {code}")
    return context


def use() -> None:
    """Use a device, deaf to SIGTERM, until standard input ends."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    take_memory()
    say({"pid": os.getpid()})
    sys.stdin.read()


def hold(url: str, *, by_child: bool) -> None:
    """Lease one device, say who is on it, use it until standard input ends."""
    from airflow_ai_provider.adapters.nvml import NvmlDriver
    from airflow_ai_provider.services.gpu import gpu_lease

    with gpu_lease(store=url, max_wait=90) as lease:
        (uuid,) = lease.devices
        document = {
            "pid": os.getpid(),
            "lease": lease.id,
            "device": uuid,
            "found_there": sorted(NvmlDriver().occupants(uuid).pids),
        }
        if by_child:
            child = start("use", start_new_session=True)
            document["user"] = json.loads(child.stdout.readline())["pid"]
        else:
            take_memory()
            document["user"] = os.getpid()
        say(document)
        sys.stdin.readline()
        if by_child:
            child.stdin.close()
            child.wait()


def start(*args: str, **more: Any) -> subprocess.Popen[str]:
    """Start one of these programs."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.gpu_real.program", *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **more,
    )


def say(document: object) -> None:
    """Print ``document``."""
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "use":
        use()
    else:
        hold(sys.argv[2], by_child="child" in sys.argv[3:])
