"""What this machine has for AI workloads: interpreter, tools, devices."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

_NVIDIA = Path("/proc/driver/nvidia/gpus")


def version_of(distribution: str) -> str | None:
    """Return the installed version of ``distribution``; None when it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def fits(version: str, wanted: str) -> bool | None:
    """Whether ``version`` is among those ``wanted`` (``>=1.5,<2``); None when that says nothing."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion

    try:
        return SpecifierSet(wanted, prereleases=True).contains(version)
    except (InvalidSpecifier, InvalidVersion):
        return None


def machine() -> dict[str, object]:
    """Return interpreter, operating system, processors and memory of this machine."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "system": platform.system(),
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": round(pages * size / 2**30, 1),
    }


def static_devices(setting: str) -> list[str]:
    """Return the devices that the setting ``static_devices`` declares."""
    return [name.strip() for name in setting.split(",") if name.strip()]


def driver_devices() -> list[str]:
    """Return the bus addresses of the GPUs that NVIDIA's driver shows here."""
    return sorted(entry.name for entry in _NVIDIA.iterdir()) if _NVIDIA.is_dir() else []
