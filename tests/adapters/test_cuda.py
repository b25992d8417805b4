"""Whether CUDA is initialised in a process, seen with a library of our own in its place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_ai_provider.adapters import cuda

LIBRARY = """
static int initialised;
int cuInit(unsigned flags) { initialised = 1; return 0; }
int cuDeviceGetCount(int *count) { if (!initialised) return 3; *count = 1; return 0; }
"""
PROBE = """
import ctypes, sys
from airflow_ai_provider.adapters import cuda
answers = [cuda.initialised_by()]
library = ctypes.CDLL("libcuda.so.1")
answers.append(cuda.initialised_by())
library.cuInit(0)
answers.append(cuda.initialised_by())
print(answers)
"""


def torch(*, initialised: bool, bad_fork: bool | None = None) -> dict[str, Any]:
    functions: dict[str, Any] = {"is_initialized": lambda: initialised}
    if bad_fork is not None:
        functions["_is_in_bad_fork"] = lambda: bad_fork
    return {"torch": SimpleNamespace(cuda=SimpleNamespace(**functions))}


@pytest.mark.parametrize(
    ("modules", "found"),
    [
        ({}, False),
        ({"torch": None}, False),
        (torch(initialised=False), False),
        (torch(initialised=False, bad_fork=False), False),
        (torch(initialised=True), True),
        (torch(initialised=False, bad_fork=True), True),
    ],
)
def test_pytorch_is_asked_when_it_is_loaded(
    tmp_path: Path, modules: dict[str, Any], found: bool
) -> None:
    assert (cuda.initialised_by(modules, tmp_path) is not None) is found


def test_an_open_device_of_cuda_shows_it(tmp_path: Path) -> None:
    (tmp_path / "3").symlink_to("/dev/nvidiactl")  # NVML opens that too
    assert cuda.initialised_by({}, tmp_path) is None
    (tmp_path / "4").symlink_to("/dev/nvidia-uvm")
    (tmp_path / "5").write_text("no link")
    assert cuda.initialised_by({}, tmp_path) == "/dev/nvidia-uvm is open"
    assert cuda.initialised_by({}, tmp_path / "absent") is None


def make_library(folder: Path) -> Path:
    """Compile the library in ``folder``."""
    source, target = folder / "cuda.c", folder / "libcuda.so.1"
    source.write_text(LIBRARY)
    flags = ["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    subprocess.run(["gcc", *flags, "-o", target, source], check=True)
    return target


def test_a_driver_that_is_only_loaded_is_not_initialised(tmp_path: Path) -> None:
    make_library(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={"LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[None, None, 'the CUDA driver has been initialised']"
