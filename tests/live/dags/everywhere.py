"""A person's answer, and a plan that is late: what a scheduler, a form and a triggerer decide."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path

from airflow.sdk import AsyncCallback, SyncCallback, dag, task

from airflow_ai_provider.notifications.deadlines import milestone_deadline
from airflow_ai_provider.operators.lifecycle_decisions import ProjectHandOverOperator
from tests.live import postbox

PROJECT = Path(__file__).parents[3] / "dags" / "projects" / "flight_delays.yaml"
LONG_AGO = date(2020, 1, 6)


@dag(schedule=None)
def handing_over() -> None:
    """Ask operations."""
    ProjectHandOverOperator(task_id="ask", project=str(PROJECT))


@dag(
    schedule=None,
    deadline=[
        milestone_deadline(PROJECT, "pilots", start=LONG_AGO, callback=callback)
        for callback in (
            AsyncCallback(postbox.Postbox, kwargs={"message": "a notifier"}),
            AsyncCallback(postbox.tell, kwargs={"message": "a coroutine"}),
            SyncCallback(postbox.tell_too, kwargs={"message": "a function"}),
        )
    ],
)
def late() -> None:
    """Run while somebody may be told that it is late."""

    @task
    def work() -> None:
        time.sleep(1)

    work()


handing_over()
late()
