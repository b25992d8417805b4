"""Predictions that two versions both made, with what became of them: champion beside challenger."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

from airflow_ai_provider.adapters.prediction_reading import in_partition, load_outcomes, reading_log
from airflow_ai_provider.core.feedback.comparison import Pair, compare
from airflow_ai_provider.core.quality.sql import identifier

MOST_VERSIONS = 6  # that are compared, each with each: those with the most predictions


def pairs(
    predictions: str,
    outcomes: Iterable[bytes],
    *,
    model_name: str,
    partition: str,
    group: str | None,
) -> list[Pair]:
    """Return the losses of each two versions of a partition on the rows that both answered.

    The later version is compared with the earlier one. ``outcomes`` are as for
    ``prediction_log.join``.

    :raises FeedbackSourceError: there is no such file, or a column is missing.
    """
    with reading_log(predictions) as connection:
        load_outcomes(connection, outcomes)
        _answered(connection, model_name, partition, group)
        versions = connection.execute(
            "SELECT version FROM answered GROUP BY version ORDER BY count(*) DESC, version LIMIT ?",
            [MOST_VERSIONS],
        ).fetchall()
        ordered = sorted((row[0] for row in versions), key=_age)
        found: list[Pair] = []
        for earlier, later in combinations(ordered, 2):
            found += _compared(connection, later, earlier, grouped=group is not None)
        return found


def _answered(connection: Any, model_name: str, partition: str, group: str | None) -> None:
    part = f"CAST({identifier(group)} AS VARCHAR)" if group else "NULL"
    connection.execute(
        f"""
        CREATE TABLE answered AS
        WITH labelled AS (
            SELECT prediction_id, label FROM outcome WHERE label IN (0, 1)
            QUALIFY row_number() OVER (PARTITION BY prediction_id
                ORDER BY is_outcome DESC, observed_at DESC, sequence DESC) = 1
        ), predicted AS (
            SELECT CAST(prediction_id AS VARCHAR) AS prediction_id,
                   CAST(model_version AS VARCHAR) AS version,
                   CAST(score AS DOUBLE) AS score, {part} AS part
            FROM log
            WHERE model_name = $model AND {in_partition(partition)}
              AND score IS NOT NULL
            QUALIFY row_number() OVER (
                PARTITION BY prediction_id, model_version ORDER BY predicted_at DESC) = 1
        )
        SELECT * FROM predicted JOIN labelled USING (prediction_id)
        """,  # noqa: S608 - a column name, quoted
        {"model": model_name, "partition": partition},
    )


def _compared(connection: Any, version: str, other: str, *, grouped: bool) -> list[Pair]:
    rows = connection.execute(
        "SELECT a.label AS label, a.score AS score, b.score AS other, a.part AS part"
        " FROM answered AS a JOIN answered AS b USING (prediction_id)"
        " WHERE a.version = ? AND b.version = ? ORDER BY part, prediction_id",
        [version, other],
    ).fetchnumpy()
    groups = rows["part"] if grouped else None
    return compare(version, other, rows["label"], rows["score"], rows["other"], groups)


def _age(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdecimal() else (0, version)
