"""A model in a real MLflow: measured in a process of its own, judged, and given its card."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest

from airflow_ai_provider.core.errors import RegistryUnavailableError
from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.core.promotion.logistics import NEEDED, lacking
from airflow_ai_provider.operators.model_card import ModelCardOperator
from airflow_ai_provider.operators.model_evidence import ModelEvidenceOperator
from airflow_ai_provider.services.promotion import judge, register
from airflow_ai_provider.services.promotion.histograms import log_histograms
from airflow_ai_provider.store.ledger import Ledger

pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PROJECT = Path(__file__).parents[2] / "dags" / "projects" / "flight_delays.yaml"


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A tracking database with a run and a model that says 1 beyond a distance of 3."""
    import mlflow
    import pandas as pd

    class Far(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return (model_input["distance"] > 3).astype(int)

    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("e", artifact_location=str(folder / "artifacts"))
    mlflow.set_experiment("e")
    with mlflow.start_run() as run:
        mlflow.log_metrics({"loss": 0.25, "lost": float("nan")})
        mlflow.log_param("seed", 7)
        for step in (0, 100):
            weights = {"layer": np.linspace(-1, 1 + step, 50)}
            log_histograms(weights, step=step, gradients={"layer": np.zeros(50)})
        model = mlflow.pyfunc.log_model(
            name="model",
            python_model=Far(),
            input_example=pd.DataFrame({"distance": [1, 2, 3, 4, 5]}),
            pip_requirements=["mlflow"],
        )
    return {"uri": uri, "run_id": run.info.run_id, "model_uri": model.model_uri}


@pytest.fixture
def ledger(logged, here, monkeypatch):
    mlflow = {"conn_type": "mlflow", "host": logged["uri"]}
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps(mlflow))
    return Ledger(here)


def measured(logged, **arguments):
    evidence = {
        "model_name": "delays",
        "run_id": logged["run_id"],
        "model_uri": logged["model_uri"],
        **arguments.pop("changes", {}),
    }
    operator = ModelEvidenceOperator(
        task_id="measure", evidence=evidence, time_limit=120, **arguments
    )
    return operator.execute({"ti": SimpleNamespace()})


def test_a_model_is_measured_judged_and_described(logged, ledger, tmp_path):
    rows = tmp_path / "rows.parquet"
    duckdb.sql(
        "COPY (SELECT i % 7 AS distance, (i % 7 > 3)::INT AS late, (i % 7 > 3)::INT AS score"
        f" FROM range(140) t(i)) TO '{rows}'"
    )
    found = measured(logged, inputs=str(rows), label_column="late")
    assert found["measured"]["loads"], found["measured"]
    assert found["run"]["metrics"]["loss"] == 0.25
    assert found["run"]["params"] == {"seed": "7"}
    assert found["environment"]["requirements"] == ["mlflow"]
    assert found["costs"]["size_bytes"] > 100
    assert found["costs"]["p95_ms"] > 0
    assert found["measured"]["importance"]["distance"] > 0.3

    from airflow_ai_provider.hooks.promotion import ModelRegistryHook

    registry = ModelRegistryHook().get_conn()
    version = register(found, registry=registry).version
    criteria = [
        {"kind": "loads"},
        {"kind": "reported", "figure": "loss", "max": 0.3},
        {"kind": "reported", "figure": "lost", "max": 0.3},
        {"kind": "budget", "cost": "p95_ms", "max": 60_000},
    ]
    said = {**found, "version": version, "predictions": str(rows), "label": "late"}
    judgement = judge(said, criteria, ledger=ledger, decided_by="test")
    assert [c.name for c in judgement.failed] == ["lost reported"]
    assert "reports lost = " in judgement.failed[0].sentence
    assert judgement.verdict is Verdict.FAIL
    verdict = judgement.result(ledger.append(judgement.draft))

    card = ModelCardOperator(
        task_id="card",
        verdict=verdict,
        ethics="None known.",
        project_file=str(PROJECT),
        folder=str(tmp_path / "card"),
    ).execute({"ti": SimpleNamespace()})
    pictures = [
        "calibration.svg",
        "confusion.svg",
        "gradients.svg",
        "importance.svg",
        "weights.svg",
    ]
    assert card["files"] == sorted(["card.html", "card.md", *pictures])
    assert sorted(path.name for path in (tmp_path / "card").iterdir()) == card["files"]
    tags = registry.get_version("delays", version).tags
    assert tags["airflow_ai.card"] == card["digest"]
    assert tags["airflow_ai.card_uri"] == f"runs:/{logged['run_id']}/model_card/card.html"
    assert lacking(registry.get_version("delays", version)) == ()
    assert {len(tags[tag]) for tag in NEEDED.values()} == {64}
    client = ModelRegistryHook().get_client()
    kept = [item.path for item in client.list_artifacts(logged["run_id"], "model_card")]
    assert sorted(kept) == [f"model_card/{name}" for name in card["files"]]


@pytest.mark.faults
def test_inputs_of_another_schema_are_a_failed_measurement(logged, ledger, tmp_path):
    rows = tmp_path / "rows.parquet"
    duckdb.sql(f"COPY (SELECT 'far' AS distance) TO '{rows}'")
    found = measured(logged, inputs=str(rows))
    assert found["measured"]["loads"] is False
    assert "while predicting, " in found["measured"]["failure"]
    assert "distance" in found["measured"]["failure"]


@pytest.mark.faults
def test_a_server_that_is_away_is_no_verdict_on_the_model(logged, ledger, monkeypatch):
    away = {"conn_type": "mlflow", "host": "http://127.0.0.1:9"}
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps(away))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryUnavailableError, match="cannot be asked for: while fetching"):
        measured(logged, changes={"model_uri": "models:/delays/1"})
