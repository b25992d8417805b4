"""Processes of this host, as ``/proc`` shows them (Linux)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from airflow_ai_provider.core.gpu.lease import LEASE_VARIABLE, Process

_PROC = Path("/proc")
_BLOCK = 1 << 16
# Python's own trackers outlive what they track and hold no device; nor does a keeper at its start
_BYSTANDERS = (b"resource_tracker", b"semaphore_tracker", b"airflow_ai_provider.services.keeper")


class Seen(NamedTuple):
    """One living process at one look."""

    pid: int
    parent: int
    group: int
    session: int
    start: int


def boot_id() -> str:
    """Return the id of this boot of the machine."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Process | None:
    """Return the living process ``pid``; None when there is none, or only its zombie."""
    seen = _look(pid)
    if seen is None:
        return None
    try:
        uid = (_PROC / str(pid)).stat().st_uid
    except FileNotFoundError:
        return None
    return Process(pid=pid, start=seen.start, uid=uid)


def is_alive(process: Process) -> bool:
    """Whether this very process still runs; a zombie runs no more."""
    seen = _look(process.pid)
    return seen is not None and seen.start == process.start


def started_by(roots: Iterable[Process]) -> set[Process]:
    """Return what lives of the processes that ``roots`` started, and of those they did.

    Costs by the number of these, not by the number of all: the kernel lists the children of each.
    """
    found: set[Process] = set()
    frontier = [root.pid for root in roots if is_alive(root)]
    if frontier and not _lists_children():
        seen = survey()
        return _processes(seen, descendants(seen, frontier) - set(frontier))
    while frontier:
        for pid in _children(frontier.pop()):
            process = identify(pid)
            if process is not None and process not in found and not _is_bystander(pid):
                found.add(process)
                frontier.append(pid)
    return found


def lineage(process: Process) -> Iterator[Process]:
    """Yield ``process`` and what started it, as far as parents tell."""
    found: Process | None = process
    while found is not None:
        yield found
        seen = _look(found.pid)
        found = identify(seen.parent) if seen is not None and seen.parent > 1 else None


def mark_of(process: Process) -> str | None:
    """Return the mark that this very process was started with; None when it has none to see."""
    found = dict(marks([process.pid])).get(process.pid)
    return found if is_alive(process) else None


def command(pid: int) -> str:
    """Return what the process was started as, for people; empty when it is gone."""
    with suppress(OSError):
        folder = _PROC / str(pid)
        words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").strip()
        return (words or (folder / "comm").read_bytes().strip()).decode(errors="replace")[:200]
    return ""


def cpu_seconds(process: Process) -> float:
    """Return the processor time that the process, and what it waited for, took so far."""
    with suppress(FileNotFoundError, ProcessLookupError):
        fields = (_PROC / str(process.pid) / "stat").read_text().rpartition(")")[2].split()
        if int(fields[19]) == process.start:
            return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    return 0.0


def left_running(*, mark: str, root: Process, since: int) -> set[Process]:
    """Return what lives of the programs started with ``mark``, and of what ``root`` started.

    Of the latter only what is not older than ``since``, in clock ticks since boot.
    """
    seen = survey()
    found = {pid for pid, text in marks(seen) if text == mark}
    found |= {pid for pid in descendants(seen, [root.pid]) if seen[pid].start >= since}
    return _processes(seen, found - {root.pid})


def ticks_now() -> int:
    """Return the time since boot in clock ticks, as a process's start is told."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def left_by(
    *, mark: str, holder: Process | None, known: Iterable[Process], spared: Process | None = None
) -> set[Process]:
    """Return every living process that belongs to a lease.

    Those are: what was started with its ``mark``; the ``holder`` itself, when one is given, with
    the process group and the session that it leads; those ``known`` to descend from it; and all
    that these started. This process is never among them, nor is ``spared``, a holder that released
    and lives on.
    """
    seen = survey()
    found = {pid for pid, text in marks(seen) if text == mark}
    found |= {p.pid for p in known if p.pid in seen and seen[p.pid].start == p.start}
    if holder is not None:
        alive = holder.pid in seen and seen[holder.pid].start == holder.start
        if alive:
            found.add(holder.pid)
        if alive or holder.pid not in seen:  # while its group lives, no other process has its pid
            found |= {
                s.pid
                for s in seen.values()
                if holder.pid in {s.group, s.session} and s.start >= holder.start
            }
    found |= descendants(seen, found)
    kept_out = {os.getpid()} | ({spared.pid} if spared is not None else set())
    return _processes(seen, found - kept_out)


def survey() -> dict[int, Seen]:
    """Return every living process by pid."""
    found = {}
    for name in os.listdir(_PROC):  # noqa: PTH208 - each release looks
        seen = _look(int(name)) if name.isdigit() else None
        if seen is not None:
            found[seen.pid] = seen
    return found


def descendants(seen: dict[int, Seen], roots: Iterable[int]) -> set[int]:
    """Return what the processes ``roots`` started, and what those did, as far as parents tell."""
    children: dict[int, list[int]] = {}
    for process in seen.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    frontier = list(roots)
    while frontier:
        for child in children.get(frontier.pop(), ()):
            if child not in found:
                found.add(child)
                frontier.append(child)
    return found


def marks(seen: Iterable[int]) -> Iterator[tuple[int, str]]:
    """Yield each pid that was started with a lease's mark, and the mark.

    Only the environment at start is visible: a forked child shows that of the program it is.
    """
    prefix = f"{LEASE_VARIABLE}=".encode()
    for pid in seen:
        content = None
        with suppress(OSError):  # another user's
            content = _read(f"/proc/{pid}/environ")
        if content is None or prefix not in content:
            continue
        for entry in content.split(b"\0"):
            if entry.startswith(prefix):
                yield pid, entry[len(prefix) :].decode(errors="replace")


def send_signal(process: Process, number: signal.Signals) -> bool:
    """Signal this very process and no later one of its pid; False when it may not be signalled."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if is_alive(process):
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    finally:
        os.close(descriptor)
    return True


def _processes(seen: dict[int, Seen], pids: Iterable[int]) -> set[Process]:
    found = set()
    for pid in pids:
        with suppress(OSError):
            uid = (_PROC / str(pid)).stat().st_uid
            if not _is_bystander(pid):
                found.add(Process(pid=pid, start=seen[pid].start, uid=uid))
    return found


def _is_bystander(pid: int) -> bool:
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(word in words for word in _BYSTANDERS)


def _lists_children() -> bool:
    return (_PROC / "self/task" / str(os.getpid()) / "children").exists()


def _children(pid: int) -> Iterator[int]:
    """Yield what each thread of ``pid`` started (Linux with CONFIG_PROC_CHILDREN)."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in (_PROC / str(pid) / "task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                yield from map(int, (thread / "children").read_text().split())


def _look(pid: int) -> Seen | None:
    content = _read(f"/proc/{pid}/stat")
    if not content:
        return None
    # the name, in brackets, may itself hold brackets and spaces
    state, parent, group, session, *rest = content.rpartition(b")")[2].split(None, 20)
    if state in {b"Z", b"X", b"x"}:
        return None
    return Seen(pid, int(parent), int(group), int(session), int(rest[15]))


def _read(path: str) -> bytes | None:
    """Return what a file of ``/proc`` says; None when its process is gone.

    A tenth of what ``Path.read_bytes`` costs, and each look reads one of every process.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        content = block = os.read(descriptor, _BLOCK)
        while block:
            block = os.read(descriptor, _BLOCK)
            content += block
    except ProcessLookupError:  # it ended meanwhile
        return None
    else:
        return content
    finally:
        os.close(descriptor)
