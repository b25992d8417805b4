"""Predict a month's flights, and tell what became of them.

    score(*, version, month, landing, features, predictions, tracking_uri, model_name=...,
          model_uri=None) -> {"path", "rows", "model_name", "version", "partition"}
    outcomes(*, month, landing, outcomes, model_name=...)
          -> {"path", "rows", "no_arrival", "coverage", "partition"}

The prediction log is Parquet, ``PREDICTIONS/MODEL/VERSION/2013-04.parquet``, with ``prediction_id``
(the flight's id), ``model_name``, ``model_version``, ``score``, ``predicted_at``, ``partition``,
``day``, ``carrier``, ``origin``. The outcomes are JSON Lines, ``OUTCOMES/2013-04.jsonl``, one
feedback record for each flight that arrived: ``label`` is 1 when it was 15 minutes late or more,
``value`` the minutes. Nothing is said about a flight that never arrived; how many there were is
returned.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from experiments import tracking
from flight_delays.data import connect, month_of, month_path, partition_of, require, write
from flight_delays.features import LATE_MINUTES, load
from flight_delays.model import MODEL_NAME, probabilities
from flight_delays.timetable import read_flights


def score(
    *,
    version: str | int,
    month: int | str,
    landing: str | Path,
    features: str | Path,
    predictions: str | Path,
    tracking_uri: str,
    model_name: str = MODEL_NAME,
    model_uri: str | None = None,
) -> dict[str, Any]:
    """Predict every flight of the month, those included that will never arrive.

    ``predicted_at`` is the flight's cut-off, the moment that the prediction stands for in this
    replay. The model is the registered ``version``, unless ``model_uri`` names where else it is.
    """
    partition = partition_of(month)
    uri = model_uri or f"models:/{model_name}/{version}"
    with tracking.one_thread():
        rows = load([month], landing, features)
        rows["score"] = probabilities(tracking.load_model(uri, tracking_uri), rows)
    target = Path(predictions) / model_name / str(version) / f"{partition}.parquet"
    with connect() as connection:
        connection.register("scored", rows)
        log = f"""
            SELECT flight_id AS prediction_id, '{model_name}' AS model_name,
                '{version}' AS model_version, score, timezone('UTC', cutoff) AS predicted_at,
                '{partition}' AS partition, day::DATE AS day, carrier, origin
            FROM scored"""
        write(connection, log, target)
    return {
        "path": str(target),
        "rows": len(rows),
        "model_name": model_name,
        "version": str(version),
        "partition": partition,
    }


def outcomes(
    *,
    month: int | str,
    landing: str | Path,
    outcomes: str | Path,
    model_name: str = MODEL_NAME,
) -> dict[str, Any]:
    """Write what really happened to the month's flights, in the order in which they arrived."""
    number, partition = month_of(month), partition_of(month)
    flights, airports = month_path(landing, number), Path(landing) / "airports.parquet"
    require(flights, airports)
    with connect() as connection:
        read_flights(connection, [flights], airports)
        arrived = connection.execute(
            f"""
            SELECT flight_id, strftime(landed, '%Y-%m-%dT%H:%M:%SZ'), arr_delay::INTEGER,
                (arr_delay >= {LATE_MINUTES})::INTEGER
            FROM flown WHERE arr_delay IS NOT NULL ORDER BY landed, flight_id
            """
        ).fetchall()
        (flown,) = connection.execute("SELECT count(*) FROM flown").fetchone() or (0,)
    target = Path(outcomes) / f"{partition}.jsonl"
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    with beside.open("w", encoding="utf-8") as file:
        for flight_id, landed, minutes, late in arrived:
            record = {
                "feedback_id": f"arrival:{flight_id}",
                "prediction_id": flight_id,
                "model_name": model_name,
                "observed_at": landed,
                "label": late,
                "value": minutes,
                "partition": partition,
                "source": "operations",
                "source_kind": "outcome",
            }
            file.write(json.dumps(record) + "\n")
    beside.replace(target)
    return {
        "path": str(target),
        "rows": len(arrived),
        "no_arrival": flown - len(arrived),
        "coverage": round(len(arrived) / flown, 4) if flown else 0.0,
        "partition": partition,
    }
