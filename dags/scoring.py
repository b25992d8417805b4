"""A month was delivered: gate it, then score it with the model in production.

A delivery that fails its gate trains and scores nothing: its bad rows are set aside, and the same
month is asked for again. Before anything is in production the shadow in test scores. Versions that
are marked as challengers score beside, so that a model gate can compare them on the same feedback;
so does the version before the one in production, so that it can be gone back to when it was better.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import Param, dag, task

import use_cases
from airflow_ai_provider.assets import (
    data_alias,
    landing_asset,
    predictions_asset,
    request_asset,
)
from airflow_ai_provider.task_groups.data import gated_data

MODEL = "flight_delays"
DATASET = "flights"


@dag(
    schedule=[landing_asset(DATASET)],
    start_date=datetime(2013, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=5)},
    params={
        "project": Param(use_cases.PROJECT_FILE, type="string", title="Project file"),
        "months": Param(
            [],
            type="array",
            items={"type": "string", "pattern": r"^\d{4}-\d{2}$"},
            title="Months",
            description="Empty: the months that were delivered.",
        ),
    },
    tags=["ai", "production"],
    doc_md=__doc__,
)
def scoring():
    @task
    def deliveries(params: dict, triggering_asset_events=None) -> list[dict]:
        return use_cases.new_deliveries(
            params["project"], DATASET, months=params["months"], events=triggering_asset_events
        )

    @task(outlets=[predictions_asset(MODEL)])
    def score(reports: list[dict], outlet_events=None) -> list[dict]:
        version = use_cases.scoring_version(MODEL)
        logs = [
            use_cases.package(MODEL).score(version, partition=report["partition"])
            for report in reports
        ]
        for other in use_cases.beside(MODEL, version):
            for report in reports:  # beside, and acted on by nobody
                use_cases.package(MODEL).score(other, partition=report["partition"])
        outlet_events[predictions_asset(MODEL)].extra = {"logs": logs}
        return logs

    @task(trigger_rule="one_failed", retries=0, outlets=[request_asset(DATASET)])
    def ask_again(deliveries: list[dict], outlet_events=None) -> None:
        refused = use_cases.refused(deliveries)
        outlet_events[request_asset(DATASET)].extra = {"again": refused}

    delivered = deliveries()
    reports = gated_data(delivered, aliases=[data_alias(DATASET)])
    score(reports)
    reports >> ask_again(delivered)


scoring()
