"""What a search found, on a real MLflow server."""

from __future__ import annotations

from airflow_ai_provider.adapters.mlflow_search import log_search


def test_the_best_parameters_are_one_run_however_often_they_are_told(mlflow_server: str) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(mlflow_server)
    best = {
        "study": "flights",
        "run": {"params": {"x": 0.5, "study": "flights"}, "metrics": {"search_value": 0.25}},
    }
    told = [
        log_search(client, experiment="searches", task="d/it's/search.trial", best=best)
        for _ in range(2)
    ]
    assert told[0] == told[1]
    run = client.get_run(told[0])
    assert run.data.params == {"x": "0.5", "study": "flights"}
    assert run.data.metrics == {"search_value": 0.25}
    assert run.info.status == "FINISHED"
