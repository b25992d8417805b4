"""Reading the prediction log with DuckDB, which is imported when it is used."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.feedback_files import local_path
from airflow_ai_provider.core.errors import FeedbackSinkError, FeedbackSourceError
from airflow_ai_provider.core.feedback.lines import BETWEEN, NUMBER, OUTCOME
from airflow_ai_provider.core.feedback.window import read_window
from airflow_ai_provider.core.quality.sql import text


@contextmanager
def reading_log(
    predictions: str, *, failure: str = "The predictions {} cannot be read"
) -> Iterator[Any]:
    """Give a DuckDB connection in which ``log`` is the log at a path, a glob or a folder.

    ``failure`` is what a complaint of DuckDB's in the body means.

    :raises FeedbackSourceError: there is no such file, or DuckDB complained.
    """
    import duckdb

    path = local_path(predictions)
    pattern = text(str(path / "**" / "*.parquet") if path.is_dir() else str(path))
    source = f"read_parquet({pattern}, union_by_name=true, hive_partitioning=false)"
    try:
        with duckdb.connect() as connection:
            connection.execute(f"CREATE VIEW log AS SELECT * FROM {source}")  # noqa: S608 - quoted
            yield connection
    except duckdb.Error as error:
        raise FeedbackSourceError(
            f"{failure.format(predictions)}: {str(error).splitlines()[0]}",
            remedy="Name the Parquet files (or their folder) that the scoring task wrote.",
        ) from error


def log_columns(connection: Any, predictions: str, needed: Iterable[str]) -> list[str]:
    """Return the columns of ``log``.

    :raises FeedbackSourceError: one that is needed is missing.
    """
    columns = [row[0] for row in connection.execute("DESCRIBE log").fetchall()]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise FeedbackSourceError(
            f"The predictions {predictions} have no column {', '.join(missing)}.",
            remedy=f"They have {', '.join(columns)}.",
        )
    return columns


def in_partition(partition: str) -> str:
    """Return the condition that a row of the log is of ``$partition``, or of a window's days."""
    window = read_window(partition)
    if window is None:
        return 'CAST("partition" AS VARCHAR) = $partition'
    days = f"DATE '{window.first}' AND DATE '{window.last}'"
    return f"CAST(day AS DATE) BETWEEN {days} AND $partition IS NOT NULL"


def load_lines(
    connection: Any,
    table: str,
    fields: Mapping[str, str],
    pieces: Iterable[bytes],
    *,
    columns: str = "*",
) -> None:
    """Make ``table`` of lines (``core.feedback.lines``) whose fields have the types given.

    They go through a file, which DuckDB reads faster than Python's values.

    :raises FeedbackSinkError: the file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="airflow-ai-") as folder:
        file = Path(folder) / "lines"
        _write(file, pieces)
        types = ", ".join(f"'{name}': '{kind}'" for name, kind in fields.items())
        connection.execute(
            f"CREATE TABLE {table} AS SELECT {columns} FROM read_csv($file, delim = $between,"  # noqa: S608 - names of ours
            " quote = '', escape = '', comment = '', header = false, nullstr = '',"
            f" new_line = '\\n', auto_detect = false, columns = {{{types}}})",
            {"file": str(file), "between": BETWEEN},
        )


def load_outcomes(connection: Any, pieces: Iterable[bytes]) -> None:
    """Make the table ``outcome`` of what became of predictions: the lines ``OUTCOME``."""
    load_lines(
        connection,
        "outcome",
        OUTCOME,
        pieces,
        columns=f"prediction_id, {NUMBER} AS label, source_kind = 'outcome' AS is_outcome,"
        " observed_at, sequence",
    )


def _write(file: Path, pieces: Iterable[bytes]) -> None:
    try:
        with file.open("wb") as stream:
            stream.writelines(pieces)
    except OSError as error:
        raise FeedbackSinkError(
            f"Feedback cannot be sorted in {file.parent}: {error.strerror}.",
            remedy="Make room there, or set TMPDIR to a folder with room, and try again.",
        ) from error
