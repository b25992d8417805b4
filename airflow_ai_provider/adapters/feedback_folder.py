"""Feedback files that nobody names: those of a glob or a folder, when they are new and complete."""

from __future__ import annotations

import fcntl
import glob
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from airflow_ai_provider.adapters.feedback_file_source import FileSource, unchanged
from airflow_ai_provider.core.feedback.source import Position

SETTLED = 10.0  # seconds a file must have been left alone where nobody can say who writes it
SUFFIXES = frozenset({".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".pq"})
_UNFINISHED = frozenset({".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", ".swp"})
_WILDCARDS = "*?["

Known = Callable[[Iterable[str]], Mapping[str, Position]]


def is_watched(path: str) -> bool:
    """Whether ``path`` means whatever files are there: a folder or a glob, not a file."""
    return os.path.isdir(path) or (has_wildcard(path) and not os.path.lexists(path))  # noqa: PTH112


def has_wildcard(path: str) -> bool:
    """Whether ``path`` is a glob."""
    return any(sign in path for sign in _WILDCARDS)


def new_files(
    pattern: str, known: Known, *, mapping: Mapping[str, str] | None = None
) -> Iterator[FileSource]:
    """Yield the files that ``pattern`` means and that were not read as they are now.

    ``known`` returns the positions of names. A file that is still being written is left for the
    next time. In a folder, files of the kinds that are read count, at any depth.
    """
    inside = os.path.isdir(pattern)  # noqa: PTH112
    found = glob.glob(f"{glob.escape(pattern)}/**" if inside else pattern, recursive=True)  # noqa: PTH207
    paths = sorted({Path(path).resolve() for path in found})
    files = [path for path in paths if path.is_file() and is_finished_name(path.name)]
    if inside:
        files = [path for path in files if path.suffix.lower() in SUFFIXES]
    sources = {FileSource(path).name: path for path in files}
    positions = known(sources)
    for name, path in sources.items():
        position = positions.get(name)
        if position is not None and unchanged(path, position):
            continue
        if not is_being_written(path):
            yield FileSource(path, mapping=mapping, watched=True)


def is_finished_name(name: str) -> bool:
    """Whether a file of this name says that it is complete: hidden and partial ones do not."""
    return not name.startswith((".", "_")) and PurePosixPath(name).suffix.lower() not in _UNFINISHED


def is_being_written(path: Path, *, now: float | None = None) -> bool:
    """Whether somebody has the file open to write.

    Linux grants a read lease (``fcntl(2)``, F_SETLEASE) only on a file that no process has open for
    writing; whoever wants to meanwhile waits, and we are told by a signal that does nothing. Where
    it cannot be asked (another user's file, a network file system), a file that was
    written to a moment ago is taken to be unfinished.
    """
    try:
        with path.open("rb") as stream:
            fcntl.fcntl(stream, fcntl.F_SETSIG, signal.SIGURG)  # the usual SIGIO would end us
            try:
                fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            except BlockingIOError:
                return True
            fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            return False
    except OSError:
        pass
    try:
        written = path.stat().st_mtime
    except FileNotFoundError:
        return True
    return (time.time() if now is None else now) - written < SETTLED
