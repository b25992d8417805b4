"""The prediction log: Parquet files, one per model, version and partition, joined to feedback.

DuckDB reads and writes them; it is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow_ai_provider.adapters.feedback_files import local_path
from airflow_ai_provider.adapters.prediction_reading import (
    in_partition,
    load_outcomes,
    log_columns,
    reading_log,
)
from airflow_ai_provider.adapters.whole_file import whole_file
from airflow_ai_provider.core.errors import FeedbackSourceError
from airflow_ai_provider.core.feedback.metrics import SliceMetrics
from airflow_ai_provider.core.quality.sql import identifier, text

COLUMNS = ("prediction_id", "model_name", "model_version", "score", "predicted_at", "partition")
_NEEDED = ("prediction_id", "score", "day")


@dataclass(frozen=True, kw_only=True)
class JoinedVersion:
    """One version's predictions that have an outcome: arrays of equal length, and slices."""

    version: str
    predictions: int
    labels: Any
    scores: Any
    groups: Any
    slices: tuple[SliceMetrics, ...]


def write(
    root: str,
    rows: Any,
    *,
    model_name: str,
    version: str,
    partition: str,
    predicted_at: datetime,
) -> Path:
    """Write the predictions of one version for one partition; an earlier file is replaced.

    ``rows`` is a dict of columns, a pandas DataFrame or the path of a Parquet file with
    ``prediction_id`` (unique), ``score`` (a finite number), ``day`` and whatever columns slices are
    cut by.

    :raises FeedbackSourceError: a column is missing or holds what it may not.
    """
    import duckdb

    folder = local_path(root) / path_part(model_name) / path_part(version)
    file = folder / f"{path_part(partition)}.parquet"
    with duckdb.connect() as connection:
        columns = load_rows(connection, rows)
        _check(connection, columns)
        constants = {
            "model_name": text(str(model_name)),
            "model_version": text(str(version)),
            "partition": text(str(partition)),
        }
        if "predicted_at" not in columns:
            constants["predicted_at"] = f"TIMESTAMPTZ {text(predicted_at.isoformat())}"
        kept = [identifier(c) for c in columns if c not in {*constants, "prediction_id"}]
        added = [f"{value} AS {identifier(column)}" for column, value in constants.items()]
        key = "CAST(prediction_id AS VARCHAR) AS prediction_id"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with whole_file(file) as unfinished:
                connection.execute(
                    f"COPY (SELECT {', '.join([key, *added, *kept])}"  # noqa: S608 - quoted
                    f" FROM rows) TO {text(str(unfinished))} (FORMAT parquet)"
                )
        except (OSError, duckdb.Error) as error:
            raise FeedbackSourceError(
                f"The predictions cannot be written to {file}: {str(error).splitlines()[0]}.",
                remedy="Check the folder and the columns; an earlier file stays as it was.",
            ) from error
    return file


def join(
    predictions: str,
    outcomes: Iterable[bytes],
    *,
    model_name: str,
    partition: str,
    group: str | None,
    slices: Sequence[str] = (),
) -> list[JoinedVersion]:
    """Return, per version, the predictions of a partition with what became of them.

    ``outcomes`` are lines (``OUTCOME`` in ``core.feedback.lines``). Of several
    for one prediction an outcome goes before an opinion, then the newest. Labels other than 0 and 1
    are no outcome here.

    :raises FeedbackSourceError: there is no such file, or a column is missing.
    """
    with reading_log(predictions) as connection:
        load_outcomes(connection, outcomes)
        _join(connection, predictions, model_name, partition, group, slices)
        versions = connection.execute(
            "SELECT version, count(*) FROM joined GROUP BY version ORDER BY version"
        ).fetchall()
        return [_version(connection, version, count, group, slices) for version, count in versions]


def _join(
    connection: Any,
    predictions: str,
    model_name: str,
    partition: str,
    group: str | None,
    slices: Sequence[str],
) -> None:
    wanted = [*COLUMNS, *([group] if group else []), *slices]
    log_columns(connection, predictions, wanted)
    extra = "".join(f", {identifier(name)}" for name in dict.fromkeys(wanted[len(COLUMNS) :]))
    connection.execute(
        f"""
        CREATE TABLE joined AS
        WITH predicted AS (
            SELECT CAST(prediction_id AS VARCHAR) AS prediction_id,
                   CAST(model_version AS VARCHAR) AS version,
                   CAST(score AS DOUBLE) AS score{extra}
            FROM log
            WHERE model_name = $model AND {in_partition(partition)}
              AND score IS NOT NULL
            QUALIFY row_number() OVER (
                PARTITION BY prediction_id, model_version ORDER BY predicted_at DESC) = 1
        ), labelled AS (
            SELECT prediction_id, label FROM outcome WHERE label IN (0, 1)
            QUALIFY row_number() OVER (PARTITION BY prediction_id
                ORDER BY is_outcome DESC, observed_at DESC, sequence DESC) = 1
        )
        SELECT * FROM predicted LEFT JOIN labelled USING (prediction_id)
        """,  # noqa: S608 - column names, quoted
        {"model": model_name, "partition": partition},
    )


def _version(
    connection: Any, version: str, count: int, group: str | None, slices: Sequence[str]
) -> JoinedVersion:
    of_group = f"CAST({identifier(group)} AS VARCHAR)" if group else "NULL"
    found = connection.execute(
        f"SELECT label, score, {of_group} AS part FROM joined"  # noqa: S608 - names, quoted
        " WHERE version = ? AND label IS NOT NULL ORDER BY part, prediction_id",
        [version],
    ).fetchnumpy()
    cut: list[SliceMetrics] = []
    for column in slices:
        rows = connection.execute(
            f"SELECT CAST({identifier(column)} AS VARCHAR), count(*), avg(label), avg(score)"  # noqa: S608
            " FROM joined WHERE version = ? AND label IS NOT NULL"
            " GROUP BY 1 ORDER BY 2 DESC, 1",
            [version],
        ).fetchall()
        cut.extend(
            SliceMetrics(
                slice=f"{column}={value}",
                n=n,
                observed=observed,
                predicted=predicted,
                gap=observed - predicted,
            )
            for value, n, observed, predicted in rows
        )
    return JoinedVersion(
        version=version,
        predictions=count,
        labels=found["label"],
        scores=found["score"],
        groups=found["part"] if group else None,
        slices=tuple(cut),
    )


def load_rows(connection: Any, rows: Any) -> list[str]:
    """Make ``rows`` a view of that name and return its columns."""
    if isinstance(rows, (str, Path)):
        source = f"read_parquet({text(str(local_path(str(rows))))})"
        connection.execute(f"CREATE VIEW rows AS SELECT * FROM {source}")  # noqa: S608 - quoted
        return _columns(connection, "rows")
    if isinstance(rows, dict):
        import numpy as np

        rows = {name: np.asarray(list(column)) for name, column in rows.items()}
        rows = {n: c.astype(object) if c.dtype.kind == "U" else c for n, c in rows.items()}
    connection.register("rows", rows)
    return _columns(connection, "rows")


def _columns(connection: Any, table: str) -> list[str]:
    return [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]


def _check(connection: Any, columns: Sequence[str]) -> None:
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise FeedbackSourceError(
            f"The predictions have no column {', '.join(missing)}.",
            remedy=f"Give prediction_id, score and day; there are {', '.join(columns)}.",
        )
    rows, ids, scores, days = connection.execute(
        "SELECT count(*), count(DISTINCT prediction_id),"
        " count(*) FILTER (WHERE isfinite(TRY_CAST(score AS DOUBLE))), count(day) FROM rows"
    ).fetchone()
    for name, good in (("prediction_id", ids), ("score", scores), ("day", days)):
        if good != rows:
            what = "missing or repeated" if name == "prediction_id" else "missing or not finite"
            raise FeedbackSourceError(
                f"{name} is {what} in {rows - good} of {rows} predictions.",
                remedy="Correct the scoring code; nothing was written.",
            )


def path_part(part: str) -> str:
    """Return a name as a part of a path, whatever it holds."""
    return quote(str(part), safe="=@+ ,").replace("..", "%2E%2E")
