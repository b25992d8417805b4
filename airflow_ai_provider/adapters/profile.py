"""Look at data files: what is there, of which shape, and a sample to look at."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.whole_file import whole_file
from airflow_ai_provider.core.errors import DataReadError
from airflow_ai_provider.core.quality.sql import identifier, text

FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
SAMPLE_ROWS = 1000
_TIMES = ("DATE", "TIMESTAMP")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its type, how many of its values are absent, and of times the newest."""

    name: str
    type: str
    nulls: int
    newest: str | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What one source holds; ``delivered_at`` is when its newest file was written, in UTC."""

    format: str
    files: int
    bytes: int
    rows: int
    columns: tuple[Column, ...]
    delivered_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A sample on disk."""

    path: str
    rows: int
    digest: str


def profile(location: str) -> Profile:
    """Return what the files at ``location``, a path or a glob, hold.

    :raises DataReadError: there are none, or they cannot be read.
    """
    files, kind = _files(location)
    table = _table(files, kind)
    with _reading(location) as connection:
        described = connection.execute(f"DESCRIBE FROM {table}").fetchall()
        names, types = [str(row[0]) for row in described], [str(row[1]) for row in described]
        times = [n for n, type_ in zip(names, types, strict=True) if type_.startswith(_TIMES)]
        asked = [f"count({identifier(n)})" for n in names]
        asked += [f"max({identifier(n)})" for n in times]
        counted = ", ".join(["count(*)", *(f"CAST({what} AS VARCHAR)" for what in asked)])
        counts = connection.execute(f"SELECT {counted} FROM {table}").fetchall()[0]  # noqa: S608
    rows = int(counts[0])
    newest = dict(zip(times, counts[1 + len(names) :], strict=True))
    written = max(Path(file).stat().st_mtime for file in files)
    return Profile(
        format=kind,
        files=len(files),
        bytes=sum(Path(file).stat().st_size for file in files),
        rows=rows,
        columns=tuple(
            Column(name=name, type=type_, nulls=rows - int(count), newest=newest.get(name))
            for name, type_, count in zip(names, types, counts[1 : 1 + len(names)], strict=True)
        ),
        delivered_at=datetime.fromtimestamp(written, timezone.utc).isoformat(timespec="seconds"),
    )


def write_sample(location: str, target: str, *, rows: int = SAMPLE_ROWS) -> Sample:
    """Write at most ``rows`` rows of ``location``, the same ones each time, to Parquet ``target``.

    :raises DataReadError: the source cannot be read or the sample cannot be written.
    """
    files, kind = _files(location)
    path = Path(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished, _reading(location) as connection:
            connection.execute("SET threads = 1")  # a repeatable sample needs one order
            (written,) = connection.execute(
                f"COPY (SELECT * FROM {_table(files, kind)} "  # noqa: S608 - quoted by us
                f"USING SAMPLE reservoir({int(rows)} ROWS) REPEATABLE (1)) "
                f"TO {text(str(unfinished))} (FORMAT parquet)"
            ).fetchall()[0]
            digest = hashlib.sha256(unfinished.read_bytes()).hexdigest()
    except OSError as error:
        raise DataReadError(
            f"The sample {target} cannot be written: {error.strerror}.",
            remedy="Name another place under data_sources.sample.",
        ) from error
    return Sample(path=str(path), rows=int(written), digest=digest)


def _files(location: str) -> tuple[list[str], str]:
    if "://" in location and not location.startswith("file://"):
        raise DataReadError(
            f"{location} is not on this machine.", remedy="Name a path that workers can read."
        )
    pattern = location.removeprefix("file://")
    files = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - the pattern may be absolute
    if not files:
        raise DataReadError(
            f"There is no file at {pattern}.",
            remedy="Deliver it, or correct data_sources.location.",
        )
    kinds = {FORMATS.get(Path(file).suffix.lower()) for file in files}
    if len(kinds) != 1 or None in kinds:
        raise DataReadError(
            f"The files at {pattern} are not of one known format.",
            remedy="Deliver Parquet, CSV or JSON lines.",
        )
    return files, str(kinds.pop())


def _table(files: Sequence[str], kind: str) -> str:
    listed = ", ".join(map(text, files))
    return f"read_{kind}([{listed}], union_by_name = true)"


class _reading:  # noqa: N801 - a context manager, used like a function
    def __init__(self, location: str) -> None:
        self.location = location

    def __enter__(self) -> Any:
        import duckdb

        self._connection = duckdb.connect()
        return self._connection

    def __exit__(self, _type: Any, error: BaseException | None, _trace: Any) -> None:
        import duckdb

        self._connection.close()
        if isinstance(error, duckdb.Error):
            reason = str(error).strip().splitlines()[0]
            raise DataReadError(
                f"The files at {self.location} cannot be read: {reason}",
                remedy="Ask for the delivery again.",
            ) from error
