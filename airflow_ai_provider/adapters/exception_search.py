"""Finding the predictions that somebody should look at, in the prediction log.

DuckDB reads the log; it is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_ai_provider.adapters.prediction_reading import (
    in_partition,
    load_outcomes,
    log_columns,
    reading_log,
)
from airflow_ai_provider.core.feedback.exceptions import Finding, Reason
from airflow_ai_provider.core.feedback.window import read_window
from airflow_ai_provider.core.quality.sql import identifier


def search(
    predictions: str,
    outcomes: Iterable[bytes],
    *,
    model_name: str,
    partition: str | None,
    min_confidence: float | None,
    margin: float,
    wanted: Mapping[str, Sequence[tuple[Reason, float, Mapping[str, Any]]]],
    show: Sequence[str],
    limit: int,
) -> list[Finding]:
    """Return the predictions of a model to look at, those that reality has answered left out.

    ``outcomes`` are lines (``OUTCOME`` in ``core.feedback.lines``).
    A prediction is one of *low confidence* when its column ``confidence``, or else the larger of
    score and 1 - score, is under ``min_confidence`` and nobody has labelled it; it is *disputed*
    when somebody's label (0 or 1) is further than ``margin`` from its score. ``wanted`` are
    findings of other places, by prediction, which are looked up here. ``show`` names the columns
    that the person sees. At most ``limit`` are returned of each reason, the worst first.

    :raises FeedbackSourceError: there is no such file, or a column is missing.
    """
    with reading_log(predictions) as connection:
        load_outcomes(connection, outcomes)
        _load_wanted(connection, wanted)
        _narrow(connection, predictions, model_name, partition, show)
        found = worst(_wanted(connection, model_name, wanted, show), limit)
        found += _disputed(connection, model_name, margin, show, limit)
        if min_confidence is not None:
            found += _unsure(connection, model_name, min_confidence, show, limit)
        return found


def _load_wanted(connection: Any, wanted: Mapping[str, Any]) -> None:
    connection.execute("CREATE TABLE wanted (prediction_id VARCHAR)")
    if wanted:
        connection.executemany("INSERT INTO wanted VALUES (?)", [[name] for name in wanted])


def _narrow(
    connection: Any,
    predictions: str,
    model_name: str,
    partition: str | None,
    show: Sequence[str],
) -> None:
    needed = ["day"] if read_window(partition) else []
    columns = log_columns(connection, predictions, [*show, *needed])
    part, said = "true", {"model": model_name}
    if partition is not None:
        part, said = in_partition(partition), {**said, "partition": partition}
    shown = "".join(
        f", {identifier(column)} AS {identifier(f'shown_{n}')}" for n, column in enumerate(show)
    )
    sure = "confidence" if "confidence" in columns else "greatest(score, 1 - score)"
    connection.execute(
        f"""
        CREATE TABLE open_predictions AS
        WITH said AS (
            SELECT prediction_id, bool_or(is_outcome) AS known, count(*) AS labels
            FROM outcome GROUP BY prediction_id
        )
        SELECT CAST(log.prediction_id AS VARCHAR) AS prediction_id,
               CAST(model_version AS VARCHAR) AS version,
               CAST("partition" AS VARCHAR) AS part,
               CAST(score AS DOUBLE) AS score,
               CAST({sure} AS DOUBLE) AS sure,
               coalesce(said.labels, 0) AS labels{shown}
        FROM log LEFT JOIN said ON said.prediction_id = CAST(log.prediction_id AS VARCHAR)
        WHERE model_name = $model AND NOT coalesce(said.known, false)
          AND {part}
        QUALIFY row_number() OVER (
            PARTITION BY log.prediction_id, model_version ORDER BY predicted_at DESC) = 1
        """,  # noqa: S608 - column names, quoted
        said,
    )


def worst(found: Sequence[Finding], limit: int) -> list[Finding]:
    """Return ``limit`` findings of each reason, the most urgent."""
    kept: dict[Reason, list[Finding]] = {}
    for one in sorted(found, key=lambda one: -one.urgency):
        kept.setdefault(one.reason, []).append(one)
    return [one for several in kept.values() for one in several[:limit]]


def _unsure(
    connection: Any, model_name: str, limit_: float, show: Sequence[str], limit: int
) -> list[Finding]:
    rows = connection.execute(
        "SELECT * FROM open_predictions WHERE sure < ? AND labels = 0"
        " ORDER BY sure, prediction_id, version LIMIT ?",
        [limit_, limit],
    )
    return [
        _finding(model_name, row, show, Reason.LOW_CONFIDENCE, 1 - row["sure"], {})
        for row in _mappings(rows)
    ]


def _disputed(
    connection: Any, model_name: str, margin: float, show: Sequence[str], limit: int
) -> list[Finding]:
    rows = connection.execute(
        """
        SELECT p.*, max(abs(o.label - p.score)) AS apart,
               min(o.label) AS lowest, max(o.label) AS highest
        FROM open_predictions AS p JOIN outcome AS o USING (prediction_id)
        WHERE o.label IN (0, 1) AND abs(o.label - p.score) > ?
        GROUP BY ALL ORDER BY apart DESC, p.prediction_id, p.version LIMIT ?
        """,
        [margin, limit],
    )
    return [
        _finding(
            model_name,
            row,
            show,
            Reason.DISPUTED,
            row["apart"],
            {"said": sorted({row["lowest"], row["highest"]})},
        )
        for row in _mappings(rows)
    ]


def _wanted(
    connection: Any, model_name: str, wanted: Mapping[str, Any], show: Sequence[str]
) -> list[Finding]:
    rows = connection.execute(
        "SELECT * FROM open_predictions SEMI JOIN wanted USING (prediction_id)"
        " ORDER BY prediction_id, version"
    )
    return [
        _finding(model_name, row, show, reason, urgency, facts)
        for row in _mappings(rows)
        for reason, urgency, facts in wanted[row["prediction_id"]]
    ]


def _mappings(result: Any) -> list[dict[str, Any]]:
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _finding(
    model_name: str,
    row: Mapping[str, Any],
    show: Sequence[str],
    reason: Reason,
    urgency: float,
    facts: Mapping[str, Any],
) -> Finding:
    shown = {column: row[f"shown_{n}"] for n, column in enumerate(show)}
    return Finding(
        model_name=model_name,
        prediction_id=row["prediction_id"],
        model_version=row["version"],
        partition=row["part"],
        reason=reason,
        urgency=min(1.0, max(0.0, float(urgency))),
        facts={**shown, "model's score": round(row["score"], 4), **facts},
    )
