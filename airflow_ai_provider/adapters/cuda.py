"""Whether CUDA has been initialised in this process.

CUDA reads ``CUDA_VISIBLE_DEVICES`` once, when it is initialised: what is set later changes nothing,
and a process that was forked from an initialised one can use no device at all.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_UVM = "/dev/nvidia-uvm"  # opened by CUDA, not by NVML; a fork inherits it
_SUCCESS = 0


def initialised_by(
    modules: Mapping[str, Any] | None = None, descriptors: Path = Path("/proc/self/fd")
) -> str | None:
    """Return what shows that CUDA is initialised here; None when nothing does.

    ``modules`` are the imported ones; ``descriptors`` is the folder of this process's open files.
    """
    torch = (sys.modules if modules is None else modules).get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and (cuda.is_initialized() or _forked_after(cuda)):
        return "PyTorch has initialised it"
    if _driver_is_initialised():
        return "the CUDA driver has been initialised"
    if _has_open(descriptors, _UVM):
        return f"{_UVM} is open"
    return None


def _forked_after(cuda: Any) -> bool:
    in_bad_fork = getattr(cuda, "_is_in_bad_fork", None)
    return bool(in_bad_fork and in_bad_fork())


def _driver_is_initialised() -> bool:
    try:
        driver = ctypes.CDLL("libcuda.so.1", mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    except OSError:
        return False  # nobody has loaded it
    count = ctypes.c_int()
    return bool(driver.cuDeviceGetCount(ctypes.byref(count)) == _SUCCESS)


def _has_open(descriptors: Path, name: str) -> bool:
    try:
        entries = list(descriptors.iterdir())
    except OSError:
        return False
    return any(_target(entry) == name for entry in entries)


def _target(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:  # closed meanwhile
        return ""
