"""The task group of a search: its shape, and a run of it in Airflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_ai_provider.operators.gpu import GpuPythonOperator
from airflow_ai_provider.task_groups.search import search
from tests.edge.dag_runs import run_dags


def test_trials_are_mapped_tasks_on_leases_of_as_many_at_once_as_said() -> None:
    with DAG("d") as made:
        search(lambda trial: 1.0, model_name="m", trials=3, parallel=2, gpu_memory="4GiB", team="t")
    mapped = made.task_dict["search.trial"]
    assert mapped.operator_class.__mro__.count(GpuPythonOperator) == 1  # type: ignore[union-attr]
    assert mapped.partial_kwargs["max_active_tis_per_dagrun"] == 2  # type: ignore[union-attr]
    assert mapped.partial_kwargs["gpu_memory"] == "4GiB"  # type: ignore[union-attr]
    assert mapped.upstream_task_ids == {"search.begin"}
    assert made.task_dict["search.best"].upstream_task_ids == {"search.trial"}


@pytest.mark.slow
def test_a_search_runs_in_a_dag_and_outlives_a_trial_that_fails(tmp_path: Path) -> None:
    settings = {"AIRFLOW__AI_PROVIDER__STATIC_DEVICES": "cpu:0"}
    told: dict[str, Any] = run_dags(
        "run_search_dag", dags="search_dags", folder=tmp_path, **settings
    )
    states = {(task, index): state for task, index, state in told["states"]}
    trials = [states["search.trial", index] for index in range(4)]
    assert sorted(trials) == ["failed", "success", "success", "success"]
    assert states["search.best", -1] == states["train", -1] == told["state"] == "success"
    results = {(task, index): value for task, index, value in told["results"]}
    best = results["search.best", -1]
    assert best["trials"] == {"complete": 3, "pruned": 0, "fail": 1}
    assert results["train", -1] == best["params"]["x"]
    leases = {v["result"]["lease"] for (task, _), v in results.items() if task == "search.trial"}
    assert len(leases) == 3  # each trial had one of its own
    assert (tmp_path / "ai_search.db").exists()
