"""The loop over a Delta table: taken in, measured, watched, decided on, asked about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import FeedbackSinkError
from airflow_ai_provider.hooks.feedback import FeedbackHook
from airflow_ai_provider.operators.exceptions import ExceptionReviewOperator
from airflow_ai_provider.operators.feedback import (
    FeedbackIngestOperator,
    FeedbackMetricsOperator,
    RetrainDecisionOperator,
)
from airflow_ai_provider.sensors.feedback import FeedbackSensor
from airflow_ai_provider.services.feedback import write_predictions
from airflow_ai_provider.store.engine import Store
from tests.edge.task_context import context_of

MODEL = "delays"


@pytest.fixture
def taken(here: Store, tmp_path: Path) -> dict[str, Any]:
    """Sixty predictions, fifty outcomes of which went into a Delta table."""
    write_predictions(
        str(tmp_path / "log"),
        {
            "prediction_id": [f"p{n}" for n in range(60)],
            "score": [0.4 + n % 2 / 5 for n in range(60)],
            "day": [f"2013-06-{1 + n % 30:02}" for n in range(60)],
        },
        model_name=MODEL,
        version="1",
        partition="2013-06",
    )
    told = {
        "observed_at": "2013-06-10T00:00:00Z",
        "label": 1,
        "source_kind": "outcome",
        "partition": "2013-06",
    }
    file = tmp_path / "in.jsonl"
    with file.open("w") as stream:
        for n in range(50):
            ids = {"feedback_id": f"f{n}", "prediction_id": f"p{n}"}
            stream.write(json.dumps({**ids, **told}) + "\n")
    operator = FeedbackIngestOperator(
        task_id="ingest", paths=str(file), model_name=MODEL, delta=str(tmp_path / "delta")
    )
    return operator.execute(context_of(operator))


def measure(folder: Path) -> FeedbackMetricsOperator:
    return FeedbackMetricsOperator(
        task_id="measure", model_name=MODEL, predictions=str(folder / "log"), partition="2013-06"
    )


def test_the_whole_loop_finds_what_is_in_the_table(taken: dict[str, Any], tmp_path: Path) -> None:
    assert (taken["stored"], FeedbackHook().count(MODEL)) == (50, 50)
    sensor = FeedbackSensor(task_id="wait", model_name=MODEL, partition="2013-06", min_records=50)
    assert sensor.poke(context_of(sensor)).xcom_value == 50
    operator = measure(tmp_path)
    metrics = operator.execute(context_of(operator))
    assert (metrics["versions"][0]["n"], metrics["versions"][0]["observed"]) == (50, 1.0)
    decide = RetrainDecisionOperator(
        task_id="decide",
        model_name=MODEL,
        policy={"max_gap": 0.02, "min_new_feedback": 50},
        metrics=json.loads(json.dumps(metrics)),
        champion={"version": "1", "trained_through": "2013-05-31"},
        partition="2013-06",
        window_end="2013-06-30",
        newest_data="2013-06-01",
    )
    assert decide.execute(context_of(decide))["retrain"]
    review = ExceptionReviewOperator(
        task_id="review", model_name=MODEL, predictions=str(tmp_path / "log"), min_confidence=0.7
    )
    assert review.execute(context_of(review))["added"] == 10  # reality has answered the others
    made = FeedbackHook().training_set(
        str(tmp_path / "set.parquet"), str(tmp_path / "log"), model_name=MODEL
    )
    assert (made.rows, made.unlabelled) == (50, 10)


def test_a_table_that_is_away_is_tried_again_and_never_counts_as_empty(
    taken: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "delta").rename(tmp_path / "away")
    operator = measure(tmp_path)
    with pytest.raises(FeedbackSinkError, match="is not there") as raised:
        operator.execute(context_of(operator))
    assert not isinstance(raised.value, AirflowFailException)
    (tmp_path / "away").rename(tmp_path / "delta")
    assert operator.execute(context_of(operator))["versions"][0]["n"] == 50
