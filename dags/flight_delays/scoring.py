"""Predict a month's flights, and say later what really happened to them.

    score(version, *, month, landing, features, predictions, tracking_uri) -> dict
    outcomes(month, *, landing, features, outcomes) -> dict

The prediction log has one row per scheduled flight: an hour before departure nobody knows which
will be cancelled. An outcome is feedback on its prediction; a flight that never arrived has none,
and shows as missing coverage.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from experiments import tracking
from flight_delays.data import connect, month_of, parquet, partition_of
from flight_delays.features import build, load
from flight_delays.model import MODEL_NAME, probabilities


def score(
    version: str,
    *,
    month: int | str,
    landing: str | Path,
    features: str | Path,
    predictions: str | Path,
    tracking_uri: str,
) -> dict[str, Any]:
    """Score every scheduled flight of a month; a month scored again replaces its log."""
    from airflow_ai_provider.services.feedback import write_predictions

    partition = partition_of(month)
    with tracking.one_thread():
        rows = load([month], landing, features)
        model = tracking.load_model(f"models:/{MODEL_NAME}/{version}", tracking_uri)
        columns = ["flight_id", "day", "carrier", "origin"]
        path = write_predictions(
            str(predictions),
            rows[columns]
            .rename(columns={"flight_id": "prediction_id"})
            .assign(score=probabilities(model, rows)),
            model_name=MODEL_NAME,
            version=str(version),
            partition=partition,
        )
    return {
        "path": path,
        "model_name": MODEL_NAME,
        "version": str(version),
        "partition": partition,
        "rows": len(rows),
    }


def outcomes(
    month: int | str, *, landing: str | Path, features: str | Path, outcomes: str | Path
) -> dict[str, Any]:
    """Write the month's outcomes as JSON Lines; return path, rows and coverage."""
    partition = partition_of(month)
    (source,) = build([month_of(month)], landing, features)
    with connect() as connection:
        rows = connection.execute(
            f"SELECT flight_id, cutoff, label FROM {parquet(source)} ORDER BY cutoff, flight_id"
        ).fetchall()
    target = Path(outcomes) / f"{partition}.jsonl"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    arrived = [row for row in rows if row[2] is not None]
    with part.open("w") as file:
        for flight_id, cutoff, label in arrived:
            record = {
                "feedback_id": f"arrival-{flight_id}",
                "prediction_id": flight_id,
                "model_name": MODEL_NAME,
                "observed_at": cutoff.isoformat(),
                "label": int(label),
                "source": "operations control",
                "source_kind": "outcome",
                "partition": partition,
            }
            file.write(json.dumps(record) + "\n")
    part.replace(target)
    return {
        "path": str(target),
        "partition": partition,
        "rows": len(arrived),
        "coverage": len(arrived) / max(1, len(rows)),
    }
