"""A control group with a memory limit, where this user may make one (Linux; version 1 or 2)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


@contextmanager
def confined(limit: int) -> Iterator[tuple[str, ...] | None]:
    """Yield what to put before a command, so that it runs in a group of ``limit`` bytes.

    None where no group may be made. The page cache counts, but gives way; there is no swap beyond
    the limit.
    """
    for above, names in _places():
        group = above / f"bench-{uuid.uuid4().hex[:8]}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if _limited(group, names, limit):
                entering = 'echo $$ > "$0" && exec "$@"'
                yield "sh", "-c", entering, str(group / "cgroup.procs")
                return
        finally:
            with suppress(OSError):
                group.rmdir()
    yield None


def _places() -> Iterator[tuple[Path, tuple[str, str]]]:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, kinds, name = line.split(":", 2)
        if "memory" in kinds.split(","):
            names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
            yield _ROOT / "memory" / name.lstrip("/"), names
        elif not kinds:
            yield _ROOT / name.lstrip("/"), ("memory.max", "memory.swap.max")


def _limited(group: Path, names: tuple[str, str], limit: int) -> bool:
    first, second = (group / name for name in names)
    try:
        first.write_text(str(limit))
        with suppress(FileNotFoundError):  # a kernel without accounting of swap
            second.write_text("0" if second.name == "memory.swap.max" else str(limit))
    except OSError:
        return False
    return True
