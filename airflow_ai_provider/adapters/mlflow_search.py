"""What a search found, as a run in MLflow."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

_TAG = "airflow_ai.search"


def log_search(client: Any, *, experiment: str, task: str, best: Mapping[str, Any]) -> str:
    """Write the best parameters of a search into a run of ``experiment``; return the run's id.

    The run carries ``task``, which found them: told again, it is the same run.
    """
    there = client.get_experiment_by_name(experiment)
    place = there.experiment_id if there else client.create_experiment(experiment)
    # a digest, since MLflow's filters take no quotation mark within a text
    key = hashlib.sha256(task.encode()).hexdigest()
    known = client.search_runs([place], filter_string=f"tags.`{_TAG}` = '{key}'", max_results=1)
    if known:
        return str(known[0].info.run_id)
    tags = {_TAG: key, f"{_TAG}_task": task, "mlflow.runName": f"search of {best['study']}"}
    run_id = str(client.create_run(place, tags=tags).info.run_id)
    for name, value in best["run"]["params"].items():
        client.log_param(run_id, name, value)
    for name, value in best["run"]["metrics"].items():
        client.log_metric(run_id, name, value)
    client.set_terminated(run_id)
    return run_id
