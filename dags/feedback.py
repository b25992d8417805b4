"""What really happened comes back: ingest it, measure the model on it, decide on retraining.

What the model is least sure of goes to people before that, and out of their queue when the outcome
is in; they answer over the plugin's API, or in a task of another DAG with ``ask=True``.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import Param, dag, task

import use_cases
from airflow_ai_provider.assets import predictions_asset, request_asset
from airflow_ai_provider.operators.exceptions import ExceptionReviewOperator
from airflow_ai_provider.operators.feedback import (
    FeedbackIngestOperator,
    FeedbackMetricsOperator,
    RetrainDecisionOperator,
)

PROJECT = "flight_delays"
MODEL = "flight_delays"
DATASET = "flights"


@dag(
    schedule=[predictions_asset(MODEL)],
    start_date=datetime(2013, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=5)},
    params={
        "project": Param(use_cases.PROJECT_FILE, type="string", title="Project file"),
        "month": Param(
            None,
            type=["null", "string"],
            pattern=r"^\d{4}-\d{2}$",
            title="Month",
            description="Empty: the month that was scored last.",
        ),
    },
    tags=["ai", "production"],
    doc_md=__doc__,
)
def feedback():
    @task
    def scored(params: dict, triggering_asset_events=None) -> dict:
        return use_cases.scored_month(MODEL, month=params["month"], events=triggering_asset_events)

    @task
    def collect_outcomes(log: dict) -> str:
        return use_cases.package(MODEL).outcomes(log["partition"])

    @task
    def situation(params: dict, log: dict) -> dict:
        return use_cases.situation(params["project"], MODEL, DATASET, log["partition"])

    @task(outlets=[request_asset(DATASET)])
    def close_month(decision: dict, situation: dict, outlet_events=None) -> None:
        use_cases.close_unless_retraining(
            decision, situation, outlet_events[request_asset(DATASET)]
        )

    log = scored()
    ingest = FeedbackIngestOperator(task_id="ingest", paths=collect_outcomes(log), model_name=MODEL)
    review = ExceptionReviewOperator(
        task_id="review",
        model_name=MODEL,
        predictions=log["path"],
        partition=log["partition"],
        min_confidence=0.52,
        show=["carrier", "origin", "day"],
        labels={"late": 1, "in time": 0},
        max_open=20,
        max_age=timedelta(days=14).total_seconds(),
    )
    metrics = FeedbackMetricsOperator(
        task_id="measure",
        model_name=MODEL,
        predictions=log["every_version"],
        partition=log["partition"],
        group="day",
        slices=["carrier", "origin"],
    )
    now = situation(log=log)
    decision = RetrainDecisionOperator(
        task_id="decide",
        model_name=MODEL,
        policy=now["policy"],
        metrics=metrics.output,
        champion=now["champion"],
        partition=log["partition"],
        window_end=now["window_end"],
        newest_data=now["newest_data"],
        in_flight=now["in_flight"],
        project=PROJECT,
    )
    review >> ingest
    ingest >> metrics
    ingest >> now
    close_month(decision.output, now)


feedback()
