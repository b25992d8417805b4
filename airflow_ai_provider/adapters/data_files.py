"""The files that a path means, and their fingerprint."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from airflow_ai_provider.core.errors import DataReadError

_BLOCK = 1 << 18
_FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}


@dataclass(frozen=True, kw_only=True)
class DataFiles:
    """The files that a path or a glob means, and their fingerprint."""

    path: str
    files: tuple[Path, ...]
    format: str
    size: int
    stamps: tuple[tuple[int, int], ...]

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """The SHA-256 of each file's bytes, read when first asked for.

        Not before: what is wrong with a suite shows by the columns alone.

        :raises DataReadError: a file cannot be read, or changed since it was found.
        """
        try:
            found = tuple(_digest(file) for file in self.files)
        except OSError as error:
            raise _refused(self.path, error) from error
        self.need_unchanged()
        return found

    @property
    def digest(self) -> str:
        """The SHA-256 of the one file's bytes; of several, of their names and digests."""
        if len(self.files) == 1:
            return self.digests[0]
        each = zip(self.digests, self.files, strict=True)
        return hashlib.sha256("\n".join(f"{d}  {f.name}" for d, f in each).encode()).hexdigest()

    def need_unchanged(self) -> None:
        """Make sure that what was read is what was fingerprinted.

        :raises DataReadError: a file changed meanwhile.
        """
        for file, stamp in zip(self.files, self.stamps, strict=True):
            if not file.exists() or _stamp(file) != stamp:
                raise unreadable(str(file), "it changed while it was read", "Run the gate again.")


def find_files(path: str | os.PathLike[str]) -> DataFiles:
    """Return the files that ``path`` means: a file, a glob, or a folder of one format.

    :raises DataReadError: there is none, its format is unknown, or it may not be read.
    """
    shown = os.fspath(path)
    try:
        return _found(shown)
    except OSError as error:  # a folder or file without permission, a device that fails
        raise _refused(shown, error) from error


def _found(shown: str) -> DataFiles:
    files = _matching(shown)
    if not files:
        raise unreadable(shown, "there is no such file", "Check the path, and whether it arrived.")
    formats = {_format(file) for file in files}
    if len(formats) > 1:
        raise unreadable(shown, "it holds files of several formats", "Name files of one format.")
    stamps = tuple(_stamp(file) for file in files)
    for file, (size, _) in zip(files, stamps, strict=True):
        if size == 0:
            raise unreadable(str(file), "it is empty (0 bytes)", "Ask for a new delivery.")
        file.open("rb").close()  # shows a missing permission as such
    return DataFiles(
        path=shown,
        files=files,
        format=formats.pop(),
        size=sum(size for size, _ in stamps),
        stamps=stamps,
    )


def _matching(path: str) -> tuple[Path, ...]:
    found: Iterator[Path]
    if Path(path).is_dir():
        found = (
            p for p in Path(path).rglob("*") if p.is_file() and not p.name.startswith((".", "_"))
        )
    elif Path(path).exists():
        found = iter([Path(path)])
    else:
        names = glob.glob(path, recursive=True)  # noqa: PTH207 - the pattern may be absolute
        found = (Path(p) for p in names if Path(p).is_file())
    return tuple(sorted(found))


def _format(file: Path) -> str:
    suffixes = [s.lower() for s in file.suffixes]
    if suffixes and suffixes[-1] in {".gz", ".zst"}:
        suffixes.pop()
    known = _FORMATS.get(suffixes[-1] if suffixes else "")
    if known is None:
        raise unreadable(
            str(file), "its format is unknown", f"Use one of {', '.join(sorted(_FORMATS))}."
        )
    return known


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _digest(file: Path) -> str:
    running = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK))  # small and read into again: it stays in the cache
    with file.open("rb", buffering=0) as stream:
        while size := stream.readinto(block):
            running.update(block[:size])
    return running.hexdigest()


def _refused(path: str, error: OSError) -> DataReadError:
    named = str(error.filename or path)
    return unreadable(named, error.strerror or str(error), "Check its permissions.")


def unreadable(path: str, why: str, remedy: str) -> DataReadError:
    """Return the error that names ``path``, why it cannot be read and what to do."""
    return DataReadError(f"Cannot read {path}: {why}.", remedy=remedy, path=path)
