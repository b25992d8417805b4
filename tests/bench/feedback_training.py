"""A training set: a million predictions joined to a million pieces of feedback, from each sink."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.services.predictions import log_predictions, make_training_set
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.migrate import migrate
from tests.bench.feedback_data import write_feedback
from tests.bench.report import figure, say
from tests.postgres import postgres_running

ROWS = 1_000_000
_TIMES = 3
_GOAL = 5.0
_PREDICTIONS = """
COPY (
    SELECT 'p' || lpad(i::VARCHAR, 8, '0') AS prediction_id, (i % 97) / 97.0 AS score,
           i * 7919 % 3000 AS distance, chr((65 + i % 26)::INTEGER) AS carrier
    FROM range({rows}) AS numbers (i)
) TO '{path}' (FORMAT parquet)
"""


def measure(rows: int = ROWS) -> Iterator[dict[str, Any]]:
    """Measure the join with feedback in SQLite and in PostgreSQL."""
    with tempfile.TemporaryDirectory() as name, postgres_running() as server:
        folder = Path(name)
        feedback = write_feedback(folder / "feedback.jsonl", rows)
        _log(folder, rows)
        with server.database() as url:
            for sink, address in (
                ("SQLite", f"sqlite:///{folder / 'ai.db'}"),
                ("PostgreSQL", url),
            ):
                migrate(Store(address))
                service = FeedbackService(Store.open(address))
                service.ingest(feedback)
                seconds = [_join(service, folder, rows) for _ in range(_TIMES)]
                say(f"{sink}: " + ", ".join(f"{one:.2f} s" for one in seconds))
                what = f"training set of {rows} with {rows} from {sink}"
                yield figure(what, median(seconds), "s", _GOAL)
                service.store.close()


def _log(folder: Path, rows: int) -> None:
    import duckdb

    scored = folder / "scored.parquet"
    duckdb.sql(_PREDICTIONS.format(rows=rows, path=scored))
    log_predictions(folder / "log", scored, model_name="flight_delays", version="1")


def _join(service: FeedbackService, folder: Path, rows: int) -> float:
    began = time.perf_counter()
    found = make_training_set(
        folder / "set.parquet", folder / "log", service.records, model_name="flight_delays"
    )
    seconds = time.perf_counter() - began
    assert (found.rows, found.predictions, found.unknown) == (rows, rows, 0)
    return seconds
