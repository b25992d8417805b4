"""How much memory a look at data may take: what the process may have, less what is taken.

A task runs in a pod or a control group with a limit of its own. DuckDB spills what exceeds the
memory that it is given; given more than there is, the kernel would kill the task instead.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

MOST = 2 << 30  # more hardly makes a gate faster
LEAST = 96 << 20
_SHARE = 0.6  # of what is left: DuckDB exceeds its limit by the blocks that it decodes
_GROUPS = Path("/sys/fs/cgroup")


def default_memory(groups: Path = _GROUPS, proc: Path = Path("/proc")) -> str:
    """Return DuckDB's ``memory_limit`` where the user says none: 2 GiB, or what fits here."""
    left = min(_left_of_groups(groups, proc), _left_of_process(proc))
    return f"{max(LEAST, min(MOST, int(_SHARE * left))) >> 20}MiB"


def _left_of_groups(groups: Path, proc: Path) -> float:
    """Return how much the control groups of this process leave it, page cache not counted."""
    left = float("inf")
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, kinds, name = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        root = groups / "memory" if kinds else groups
        names = ("memory.limit_in_bytes", "total_rss") if kinds else ("memory.max", "anon")
        place = root / name.lstrip("/")
        while place == root or root in place.parents:
            with suppress(OSError, ValueError):  # no such file, or "max"
                left = min(left, int(_text(place / names[0])) - _taken(place, names[1]))
            place = place.parent
    return left


def _taken(group: Path, name: str) -> int:
    for line in _text(group / "memory.stat").splitlines():
        found, _, value = line.partition(" ")
        if found == name:
            return int(value)
    return 0


def _left_of_process(proc: Path) -> float:
    """Return how much the limits on the process itself, and the machine, leave it."""
    fields = _text(proc / "self" / "statm").split()
    pages = resource.getpagesize()
    left = float(pages * os.sysconf("SC_PHYS_PAGES"))
    for kind, field in ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5)):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY and len(fields) > field:
            left = min(left, limit - int(fields[field]) * pages)
    return left


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
