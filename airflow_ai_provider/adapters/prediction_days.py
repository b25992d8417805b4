"""Predictions written as Parquet, one file for each model, version, day and task.

``ROOT/model_name=M/model_version=V/day=2013-04-01/KEY-0.parquet`` is a layout that DuckDB, Spark
and polars prune by. ``KEY`` is of the task instance, so that a retry puts its files in the place of
those of the try before it.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.feedback_files import local_path
from airflow_ai_provider.adapters.prediction_log import load_rows, path_part
from airflow_ai_provider.core.errors import FeedbackSinkError, FeedbackSourceError
from airflow_ai_provider.core.quality.sql import identifier, text

_OWN = ("prediction_id", "model_name", "model_version", "score", "predicted_at", "partition", "day")


@dataclass(frozen=True, kw_only=True)
class LoggedPredictions:
    """What was written: how many predictions, of which days, in which files."""

    predictions: int
    days: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LogPlace:
    """Whose predictions they are, and which task wrote them."""

    model_name: str
    version: str
    partition: str | None
    key: str
    predicted_at: datetime


def write_days(
    root: str, rows: Any, *, place: LogPlace, features: Sequence[str] | None
) -> LoggedPredictions:
    """Write ``rows`` by day; files of ``place.key`` from an earlier try are replaced or removed.

    ``rows`` has ``prediction_id`` (unique) and ``score``; ``day`` and ``predicted_at`` where they
    are not those of ``place``. ``features`` are the further columns to keep, None keeps all.

    :raises FeedbackSourceError: a column is missing or holds what it may not.
    :raises FeedbackSinkError: the folder cannot be written to, or is full.
    """
    import duckdb

    folder = local_path(root)
    staged = folder / f".staged-{uuid.uuid4().hex}"
    with duckdb.connect() as connection:
        columns = load_rows(connection, rows)
        selected = _selected(columns, place, features)
        _check(connection, columns)
        try:
            staged.mkdir(parents=True)
            connection.execute(
                f"COPY (SELECT {selected} FROM rows) TO {text(str(staged))}"  # noqa: S608 - quoted
                " (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (model_name, model_version, day),"
                " WRITE_PARTITION_COLUMNS true, FILE_EXTENSION 'partial')"
            )
            count = connection.execute("SELECT count(*) FROM rows").fetchall()[0][0]
            return _put(folder, staged, place, count)
        except (OSError, duckdb.Error) as error:
            raise FeedbackSinkError(
                f"The predictions cannot be written to {folder}: {str(error).splitlines()[0]}.",
                remedy="Check the folder and its room; a retry of the task completes the log.",
                path=str(folder),
            ) from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def _selected(columns: Sequence[str], place: LogPlace, features: Sequence[str] | None) -> str:
    missing = [n for n in ("prediction_id", "score", *(features or ())) if n not in columns]
    if missing:
        raise FeedbackSourceError(
            f"The predictions have no column {', '.join(missing)}.",
            remedy=f"Give prediction_id, score and the features asked for; there are "
            f"{', '.join(columns)}.",
        )
    at = f"TIMESTAMPTZ {text(place.predicted_at.isoformat())}"
    day = text(place.predicted_at.date().isoformat())
    own: Mapping[str, str] = {
        "prediction_id": "CAST(prediction_id AS VARCHAR)",
        "model_name": text(str(place.model_name)),
        "model_version": text(str(place.version)),
        "score": "score",
        "predicted_at": "predicted_at" if "predicted_at" in columns else at,
        "partition": "NULL::VARCHAR" if place.partition is None else text(str(place.partition)),
        "day": "CAST(CAST(day AS DATE) AS VARCHAR)" if "day" in columns else day,
    }
    wanted = columns if features is None else features
    kept = [identifier(name) for name in wanted if name not in _OWN]
    return ", ".join([*(f"{value} AS {identifier(name)}" for name, value in own.items()), *kept])


def _check(connection: Any, columns: Sequence[str]) -> None:
    day = "count(TRY_CAST(day AS DATE))" if "day" in columns else "count(*)"
    rows, ids, scores, days = connection.execute(
        "SELECT count(*), count(DISTINCT prediction_id),"  # noqa: S608 - ours
        f" count(*) FILTER (WHERE isfinite(TRY_CAST(score AS DOUBLE))), {day} FROM rows"
    ).fetchone()
    for name, good, what in (
        ("prediction_id", ids, "missing or repeated"),
        ("score", scores, "missing or not finite"),
        ("day", days, "missing or no date"),
    ):
        if good != rows:
            raise FeedbackSourceError(
                f"{name} is {what} in {rows - good} of {rows} predictions.",
                remedy="Correct the scoring code; nothing was written.",
            )


def _put(folder: Path, staged: Path, place: LogPlace, count: int) -> LoggedPredictions:
    """Move what was staged into place, day by day, then remove what an earlier try left over."""
    version = folder / f"model_name={path_part(place.model_name)}"
    version = version / f"model_version={path_part(place.version)}"
    files: list[Path] = []
    for day in sorted(staged.glob("*/*/day=*")):
        (version / day.name).mkdir(parents=True, exist_ok=True)
        for number, part in enumerate(sorted(day.iterdir())):
            target = version / day.name / f"{place.key}-{number}.parquet"
            os.replace(part, target)  # noqa: PTH105 - the atomic one
            files.append(target)
    for left in set(version.glob(f"day=*/{place.key}-*.parquet")).difference(files):
        left.unlink()
    return LoggedPredictions(
        predictions=count,
        days=tuple(dict.fromkeys(file.parent.name.removeprefix("day=") for file in files)),
        files=tuple(str(file) for file in files),
    )
