"""Predictions joined to what people and reality said of them: a training set, in one Parquet file.

DuckDB joins; it is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.duckdb import copy_to_parquet
from airflow_ai_provider.adapters.prediction_reading import load_lines, log_columns, reading_log
from airflow_ai_provider.core.feedback.lines import NUMBER, SAID
from airflow_ai_provider.core.quality.sql import identifier, text

_OF_LABEL = (
    *("feedback_id", "label", "label_number", "value", "opinion", "label_source", "observed_at"),
)
# in the log a score is the model's
_AS_NAMED = f"""
    prediction_id, feedback_id, label, {NUMBER} AS label_number, value, score AS opinion,
    source_kind AS label_source, observed_at, sequence
"""
_KEYS = ("prediction_id", "model_name", "model_version", "predicted_at")


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which labels count: those that came by ``as_of``, and within ``length`` of the prediction.

    A prediction whose window is still open at ``as_of`` is left out, labelled or not: labels that
    come early are not like those that come late. Without a length no window ever closes, and every
    labelled prediction is taken.
    """

    as_of: datetime
    length: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """A training set at ``path``, and what became of the predictions that it was made from.

    ``predictions`` = ``rows`` + ``waiting`` (the window is open) + ``late`` (something was said,
    but after the window) + ``unlabelled``. ``unknown`` are predictions that feedback names and the
    log does not have (yet): that feedback is kept, and joined once they show up.
    """

    path: str
    rows: int
    predictions: int
    waiting: int
    late: int
    unlabelled: int
    unknown: int


def write_training_set(
    target: Path,
    predictions: str,
    pieces: Iterable[bytes],
    *,
    model_name: str,
    version: str | None,
    window: Window,
    features: Sequence[str] | None,
) -> TrainingSet:
    """Join the log at ``predictions`` with feedback and write the rows that have a label.

    ``pieces`` are effective records as lines (``SAID`` in ``core.feedback.lines``). Of several for
    one prediction an outcome goes before an opinion, then the newest. ``features`` names the
    columns of the log to keep; None keeps all.

    :raises FeedbackSourceError: the log cannot be read or lacks a column.
    """
    failure = "No training set can be made of {}"
    with reading_log(predictions, failure=failure) as connection:
        load_lines(connection, "said", SAID, pieces, columns=_AS_NAMED)
        columns = log_columns(connection, predictions, (*_KEYS, *(features or ())))
        wanted = _wanted(columns, features)
        _judge(connection, model_name, version, window, wanted)
        counts = _counts(connection)
        listed = ", ".join(identifier(name) for name in (*wanted, *_OF_LABEL))
        copy_to_parquet(
            connection,
            f"SELECT {listed} FROM judged WHERE state = 'rows' ORDER BY prediction_id",  # noqa: S608
            target,
        )
    return TrainingSet(path=str(target), **counts)


def _wanted(columns: Sequence[str], features: Sequence[str] | None) -> tuple[str, ...]:
    kept = columns if features is None else features
    return tuple(dict.fromkeys([*_KEYS, *(name for name in kept if name not in _OF_LABEL)]))


def _judge(
    connection: Any, model_name: str, version: str | None, window: Window, wanted: Sequence[str]
) -> None:
    closes = "NULL::TIMESTAMPTZ"
    if window.length is not None:
        closes = f"predicted_at + INTERVAL ({window.length.total_seconds():.6f}) SECOND"
    listed = ", ".join(identifier(name) for name in wanted if name not in _KEYS)
    of_model = f"model_name = {text(model_name)}"
    if version is not None:
        of_model += f" AND CAST(model_version AS VARCHAR) = {text(str(version))}"
    newest = voice = ""  # to put a million in order takes long, and hardly ever are there several
    if _has_several(connection, "log", "prediction_id, model_version", of_model):
        newest = """QUALIFY row_number() OVER (
            PARTITION BY prediction_id, model_version ORDER BY predicted_at DESC) = 1"""
    if _has_several(connection, "said", "prediction_id"):
        voice = """QUALIFY row_number() OVER (
            PARTITION BY predicted.prediction_id, model_version
            ORDER BY came_late NULLS LAST, label_source = 'outcome' DESC,
                heard.observed_at DESC, sequence DESC) = 1"""
    connection.execute(
        f"""
        CREATE TABLE judged AS
        WITH predicted AS (
            SELECT CAST(prediction_id AS VARCHAR) AS prediction_id, model_name,
                   CAST(model_version AS VARCHAR) AS model_version,
                   CAST(predicted_at AS TIMESTAMPTZ) AS predicted_at{listed and ", " + listed}
            FROM log WHERE {of_model} {newest}
        ), heard AS (
            SELECT * REPLACE (
                CASE WHEN label[1] = '"' THEN label ->> '$' ELSE label END AS label) FROM said
        ), told AS (
            SELECT predicted.*, heard.* EXCLUDE (prediction_id), {closes} AS closes,
                   heard.observed_at > {closes} AS came_late
            FROM predicted LEFT JOIN heard
              ON heard.prediction_id = predicted.prediction_id AND heard.observed_at <= $as_of
            {voice}
        )
        SELECT *, CASE
            WHEN closes > $as_of THEN 'waiting'
            WHEN feedback_id IS NULL THEN 'unlabelled'
            WHEN came_late THEN 'late'
            ELSE 'rows' END AS state
        FROM told
        """,  # noqa: S608 - names, quoted
        {"as_of": window.as_of},
    )


def _has_several(connection: Any, table: str, key: str, condition: str = "true") -> bool:
    """Whether ``key`` comes twice in the rows of ``table`` under a condition."""
    found = connection.execute(
        f"SELECT 1 FROM {table} WHERE {condition} GROUP BY {key} HAVING count(*) > 1 LIMIT 1"  # noqa: S608 - names of ours, texts quoted
    )
    return found.fetchone() is not None


def _counts(connection: Any) -> dict[str, int]:
    states = dict(
        connection.execute("SELECT state, count(*) FROM judged GROUP BY state").fetchall()
    )
    unknown = connection.execute(
        "SELECT count(DISTINCT prediction_id) FROM said"
        " ANTI JOIN log ON CAST(log.prediction_id AS VARCHAR) = said.prediction_id"
    ).fetchall()[0][0]
    names = ("rows", "waiting", "late", "unlabelled")
    counts = {name: states.get(name, 0) for name in names}
    return {**counts, "predictions": sum(counts.values()), "unknown": unknown}
