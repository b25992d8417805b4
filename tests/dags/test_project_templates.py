"""The second project and batch scoring, from ``project init``, run as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from airflow_ai_provider.core.lifecycle.project import Project
from airflow_ai_provider.services.discovery import measure
from airflow_ai_provider.services.lifecycle import load_project
from airflow_ai_provider.services.project_templates import begin
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from parcels import rules

ROOT = Path(__file__).parents[2]


def test_rules_score_every_parcel_once_under_their_version(tmp_path: Path) -> None:
    delivery = ROOT / "dags" / "samples" / "parcels.csv"
    found = rules.score(str(delivery), tmp_path)
    rows = duckdb.read_parquet(found["scores"]).aggregate("rule, version, count(*), max(score)")
    told = {row[0]: row[1:] for row in rows.fetchall()}
    assert {name: told[name][0] for name in rules.RULES} == found["versions"]
    assert {told[name][1] for name in rules.RULES} == {60}
    first = Path(found["scores"]).read_bytes()
    assert Path(rules.score(str(delivery), tmp_path)["scores"]).read_bytes() == first


@pytest.mark.slow
def test_batch_scoring_runs_as_it_is_begun(tmp_path: Path) -> None:
    begin(tmp_path / "dags", "batch_scoring")
    url = f"sqlite:///{tmp_path}/ai.db"
    Store.open(url).close()
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")},
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "dags"), str(ROOT)]),
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW_CONN_AI_STORE_DEFAULT": json.dumps(
            {"conn_type": "ai_store", "extra": {"url": url}}
        ),
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_batch_scoring.py"))],
        env=env, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    states = json.loads(done.stdout.splitlines()[-1])
    assert set(states.values()) == {"success"}, states
    (scores,) = (tmp_path / "home" / "data" / "scores").glob("*.parquet")
    assert duckdb.read_parquet(str(scores)).shape == (120, 5)
    gates = Ledger(Store.open(url)).search()
    assert [(g.subject, g.verdict) for g in gates] == [
        ("ai-data://parcels/all", "pass"),
        ("ai-data://parcel_scores/parcels", "pass"),
    ]


@pytest.mark.slow
def test_both_vision_pilots_train_and_beat_their_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from handwritten_digits import model
    from handwritten_digits.data import deliver_digits

    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # where MLflow on SQLite keeps its files
    path, _ = begin(tmp_path / "dags", "load_sheets")
    project: Project = load_project(path)
    landing = tmp_path / "data" / "landing"
    deliver_digits(landing)
    found = measure(project, "data_landscape")
    assert found["availability_and_quality"]["problems"] == []
    assert found["availability_and_quality"]["sources"][0]["rows"] == 1797
    for name, only in (("handwritten_digits", ()), ("one_or_seven", (1, 7))):
        evidence = model.train(
            "logistic",
            landing=landing,
            evaluations=tmp_path / "evaluations",
            tracking_uri=f"sqlite:///{tmp_path}/mlflow.db",
            model_name=name,
            only=only,
        )
        rows = duckdb.read_parquet(evidence["predictions"])
        right, baseline = rows.aggregate(
            "avg((label = prediction)::INT), avg((label = reference)::INT)"
        ).fetchall()[0]
        criteria = {c["name"]: c for c in project.use_case(name).criteria.pilot}
        least = next(c["min"] for c in criteria.values() if c["kind"] == "threshold")
        assert right > least > baseline
        labels = {row[0] for row in rows.aggregate("label").fetchall()}
        assert labels == set(only or range(10))
