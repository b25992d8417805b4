"""Reading the prediction log with DuckDB, which is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from airflow_ai_provider.adapters.feedback_files import local_path
from airflow_ai_provider.core.errors import FeedbackSourceError
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


def load_outcomes(connection: Any, pieces: Iterable[Sequence[tuple[Any, ...]]]) -> None:
    """Make the table ``outcome`` of what became of predictions.

    ``pieces`` hold (prediction_id, label, is_outcome, observed_at, sequence).
    """
    import numpy as np

    connection.execute(
        "CREATE TABLE outcome (prediction_id VARCHAR, label DOUBLE, is_outcome BOOLEAN,"
        " observed_at VARCHAR, sequence BIGINT)"
    )
    kinds = (object, float, bool, object, np.int64)
    names = ("prediction_id", "label", "is_outcome", "observed_at", "sequence")
    for piece in pieces:
        if not piece:
            continue
        columns = zip(*piece, strict=True)
        arrays = {
            name: np.array(column, dtype=kind)
            for name, kind, column in zip(names, kinds, columns, strict=True)
        }
        connection.register("piece", arrays)
        connection.execute("INSERT INTO outcome SELECT * FROM piece")
        connection.unregister("piece")
