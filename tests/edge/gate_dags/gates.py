"""Data gates of each outcome, over data that the environment names."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag, task

from airflow_ai_provider.operators.quality import DataQualityGateOperator
from airflow_ai_provider.operators.quality_required import DataQualityRequiredOperator
from airflow_ai_provider.sensors.quality import DataQualitySensor

GOOD, BAD = (f"{os.environ.get('GATE_DATA', '')}/{name}.csv" for name in ("good", "bad"))
SUITE = {
    "name": "orders",
    "expectations": [{"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}}],
}


def suite_of(run_id: str) -> dict[str, Any]:
    """Make the suite at run time."""
    return {**SUITE, "name": f"orders of {run_id.partition('_')[0]}"}


@dag(schedule=None, catchup=False)
def outcomes() -> None:
    """Let bad data meet a gate of each ``on_fail``, and good data meet one that branches."""
    for name, data, on_fail in (
        *((on_fail, BAD, on_fail) for on_fail in ("fail", "skip", "branch", "warn")),
        ("passed", GOOD, "branch"),
    ):
        gate = DataQualityGateOperator(
            task_id=f"gate_{name}",
            data=data,
            suite=suite_of if on_fail == "skip" else SUITE,
            dataset=name,
            partition="{{ 1 + 1 }}",
            on_fail=on_fail,
            branch_task_ids=f"ask_{name}" if on_fail == "branch" else None,
            quarantine_path=f"{os.environ.get('GATE_DATA', '')}/quarantine/{name}.parquet",
            retries=1,
            retry_delay=timedelta(seconds=0),
        )
        gate >> EmptyOperator(task_id=f"train_{name}")
        if on_fail == "branch":
            gate >> EmptyOperator(task_id=f"ask_{name}")


@dag(schedule=None, catchup=False)
def decorated() -> None:
    """Judge what functions return, and let others ask for the newest record."""

    @task
    def delivered() -> str:
        return GOOD

    @task.quality_gate(suite=SUITE, dataset="files", partition="{{ params.part }}")
    def files(path: str) -> str:
        return path

    @task.quality_gate(suite=SUITE, dataset="frames")
    def frames(ti: Any, *, start: int = 0) -> Any:
        import pandas as pd

        return pd.DataFrame({"id": [start, ti.try_number]})

    @task.quality_gate(suite=SUITE, dataset="tables", conn_id="shop")
    def tables() -> dict[str, str]:
        return {"table": "orders"}

    @task
    def rows(report: dict[str, Any]) -> int:
        return int(report["data"]["rows"])

    files_gate = files(delivered())
    rows(files_gate)
    asked = {"dataset": "files", "verdict": "pass", "max_age": 3600}
    sensor = DataQualitySensor(task_id="wait", partition="7", deferrable=True, **asked)
    guard = DataQualityRequiredOperator(task_id="guard", min_score="{{ 1 }}", **asked)
    refused = DataQualityRequiredOperator(task_id="refused", dataset="nobody", on_fail="skip")
    [files_gate, frames(start=5), tables()] >> sensor >> [guard, refused]
    refused >> EmptyOperator(task_id="after_refused")


outcomes_dag = outcomes()
decorated_dag = decorated()
decorated_dag.params["part"] = "7"
