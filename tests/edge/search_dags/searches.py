"""A search in which one trial raises at every try, and the task that trains with what was best."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from airflow.sdk import dag, task

from airflow_ai_provider.task_groups.search import search


def objective(trial: Any, data: dict[str, float]) -> dict[str, Any]:
    x = trial.suggest_float("x", -5, 5)
    if trial.number == 1:
        raise ValueError("this one never works")
    return {"value": (x - data["low"]) ** 2, "lease": os.environ["AIRFLOW_AI_GPU_LEASE"]}


@dag(schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup=False)
def searching():
    @task
    def data() -> dict[str, float]:
        return {"low": 1.0}

    @task
    def train(found: dict[str, float]) -> float:
        return found["x"]

    given = {"data": data()}
    best = search(
        objective, model_name="toy", trials=4, sampler="cmaes", arguments=given, gpus=1, seed=1
    )
    train(best["params"])


searching_dag = searching()
