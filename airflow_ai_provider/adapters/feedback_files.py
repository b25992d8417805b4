"""Feedback in a file: JSON Lines and CSV, and Parquet, through DuckDB.

What cannot be read as a record is handed on with its place and the problem: the caller
quarantines it. Only a file that is not there, or not whole in a format that shows it, is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from airflow_ai_provider.adapters.feedback_csv import is_csv, read_csv
from airflow_ai_provider.adapters.feedback_lines import MAX_LINE, line_blocks
from airflow_ai_provider.core.errors import FeedbackSourceError
from airflow_ai_provider.core.feedback.source import InPieces, Piece, SourceRecord
from airflow_ai_provider.core.gate import plain
from airflow_ai_provider.core.quality.sql import identifier, text

_PIECE = 10_000
_PARQUET_MAGIC = b"PAR1"


def local_path(path: str) -> Path:
    """Return the file that ``path`` (a path or a ``file://`` URL) names.

    :raises FeedbackSourceError: it names another kind of place.
    """
    parts = urlsplit(str(path))
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if "://" in str(path):
        raise FeedbackSourceError(
            f"{parts.scheme}:// is no local place.",
            remedy="Read it through FeedbackHook or FeedbackIngestOperator: they know Airflow's "
            "connections.",
        )
    return Path(path).expanduser()


def read_records(
    path: str, *, mapping: Mapping[str, str] | None = None, max_line: int = MAX_LINE
) -> Iterator[SourceRecord]:
    """Yield every record of the file at ``path``; a line beyond ``max_line`` bytes says nothing.

    ``mapping`` (ours to theirs) says which cells of a CSV file are read as numbers.

    :raises FeedbackSourceError: the file is not there, may not be read or is not whole.
    """
    return InPieces(_pieces(local_path(path), mapping or {}, max_line))


def _pieces(file: Path, mapping: Mapping[str, str], max_line: int) -> Iterator[Piece]:
    with _said_of(file), file.open("rb") as stream:
        if file.suffix in {".parquet", ".pq"} or stream.peek(4)[:4] == _PARQUET_MAGIC:
            yield _read(file, _parquet(file))
        elif is_csv(file.name):
            yield _read(file, read_csv(stream, str(file), mapping, max_line=max_line))
        else:
            yield from line_blocks(stream, max_line)


def _read(file: Path, records: Iterator[SourceRecord]) -> Iterator[SourceRecord]:
    with _said_of(file):
        yield from records


@contextmanager
def _said_of(file: Path) -> Iterator[None]:
    """Raise what the system says of ``file`` as ours."""
    try:
        yield
    except OSError as error:
        raise FeedbackSourceError(
            f"Feedback cannot be read from {file}: {error.strerror or error}.",
            remedy="Check the path and its permissions.",
            path=str(file),
        ) from error


def raw_text(raw: Any) -> str:
    """Return a raw record as text that any database can keep."""
    if isinstance(raw, bytes):
        return raw.decode("utf-8", errors="backslashreplace").replace("\x00", "\\x00")
    try:
        return json.dumps(plain(raw), ensure_ascii=True)
    except (RecursionError, ValueError):
        return repr(type(raw))


def _parquet(file: Path) -> Iterator[SourceRecord]:
    import duckdb

    number = 0
    try:
        with duckdb.connect() as connection:
            source = f"read_parquet({text(str(file))}, hive_partitioning=false)"
            described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608
            names = [column[0] for column in described]
            selected = ", ".join(_column(column[0], column[1]) for column in described)
            result = connection.execute(f"SELECT {selected} FROM {source}")  # noqa: S608 - quoted
            while rows := result.fetchmany(_PIECE):
                for row in rows:
                    number += 1
                    document = dict(zip(names, row, strict=True))
                    yield SourceRecord(f"row {number}", document, document)
    except duckdb.Error as error:
        raise FeedbackSourceError(
            f"{file} is no whole Parquet file: {str(error).splitlines()[0]}",
            remedy="Deliver the file again; nothing of it was taken.",
            path=str(file),
        ) from error


def _column(name: str, kind: Any) -> str:
    quoted = identifier(name)
    if str(kind) == "TIMESTAMP WITH TIME ZONE":  # as a Python value it would need pytz
        return f"strftime(make_timestamp(epoch_us({quoted})), '%Y-%m-%dT%H:%M:%S.%fZ') AS {quoted}"
    return quoted
