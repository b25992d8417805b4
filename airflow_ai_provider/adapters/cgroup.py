"""A control group per lease, where this user may make one (Linux; version 2, else version 1).

It is made under the holder's own group, so that every limit on the holder still holds, and the
holder is moved into it: what the holder starts from then on stays in it, whatever session it makes
and whoever its parent is. Nothing depends on it: where it is not permitted, marks and recorded
descent are what there is.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

from airflow_ai_provider.adapters.processes import identify, is_alive
from airflow_ai_provider.core.gpu.lease import Process

log = logging.getLogger(__name__)

_PREFIX = "airflow-ai-"
_OLD_HIERARCHY = "pids"  # any of version 1 would do: this one only counts


def enclose(lease_id: str, holder: Process) -> str | None:
    """Put ``holder`` into a group of the lease and return its path; None where it may not be."""
    above = _group_of(holder.pid)
    if above is None:
        return None
    group = above if above.name == _PREFIX + lease_id else above / (_PREFIX + lease_id)
    try:
        group.mkdir(exist_ok=True)
        if not is_alive(holder):
            group.rmdir()
            return None
        _move(holder.pid, group)
    except OSError as error:
        log.debug("no control group for lease %s: %s", lease_id, error)
        with suppress(OSError):
            group.rmdir()
        return None
    return str(group)


def members(group: str) -> set[Process]:
    """Return the living processes of a group and of those below it."""
    found = {identify(pid) for pid in _pids(Path(group))}
    return {process for process in found if process is not None and process.pid != os.getpid()}


def kill(group: str) -> bool:
    """Kill everything in the group at once, also what is just being started; False if it cannot."""
    try:
        (Path(group) / "cgroup.kill").write_text("1")
    except OSError:
        return False
    return True


def dissolve(group: str) -> None:
    """Give what lives in the group back to the one above, and remove it."""
    path = Path(group)
    for below in sorted(path.glob(f"**/{_PREFIX}*/"), reverse=True):
        _dissolve_one(below)
    _dissolve_one(path)


def leave() -> None:
    """Move this process out of the groups of leases: it is to outlive them."""
    group = _group_of(os.getpid())
    if group is None:
        return
    above = group
    while above.name.startswith(_PREFIX):
        above = above.parent
    if above != group:
        with suppress(OSError):
            _move(os.getpid(), above)


def _dissolve_one(path: Path) -> None:
    for pid in _own_pids(path):
        with suppress(OSError):
            _move(pid, path.parent)
    with suppress(OSError):
        path.rmdir()


def _move(pid: int, group: Path) -> None:
    (group / "cgroup.procs").write_text(str(pid))


def _pids(path: Path) -> set[int]:
    return {pid for folder in (path, *path.glob(f"**/{_PREFIX}*/")) for pid in _own_pids(folder)}


def _own_pids(path: Path) -> list[int]:
    try:
        return [int(pid) for pid in (path / "cgroup.procs").read_text().split() if pid != "0"]
    except OSError:
        return []


def _group_of(pid: int) -> Path | None:
    """Return the folder of the group that the process is in; None where there is no such tree."""
    mounted = _mounted()
    if mounted is None:
        return None
    root, controller = mounted
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == controller or controller in controllers.split(","):
            folder = root / path.lstrip("/")
            return folder if folder.is_dir() and ".." not in path else None
    return None


@cache
def _mounted() -> tuple[Path, str] | None:
    """Return where version 2 is mounted, else the hierarchy of version 1, with its controller."""
    found: dict[str, Path] = {}
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            left, _, right = line.partition(" - ")
            fields, (kind, *rest) = left.split(), right.split()
            if fields[3] != "/":
                continue  # a part of a tree: the paths in /proc would not fit it
            if kind == "cgroup2":
                found.setdefault("", Path(fields[4]))
            elif kind == "cgroup" and _OLD_HIERARCHY in rest[-1].split(","):
                found.setdefault(_OLD_HIERARCHY, Path(fields[4]))
    for controller in ("", _OLD_HIERARCHY):
        if controller in found:
            return found[controller], controller
    return None
