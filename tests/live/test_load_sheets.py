"""The template ``load_sheets``, begun and run as it is: its feed, its discovery, its pilots."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.demo.people import ANSWERING, People
from airflow_ai_provider.services.project_templates import begin
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from tests.live.stage import LiveStage, live

pytestmark = [pytest.mark.airflow, pytest.mark.faults, pytest.mark.timeout(1500)]
OVER = {"success", "failed"}


@pytest.fixture
def stage(tmp_path: Path, mlflow_server: str) -> Iterator[LiveStage]:
    begin(tmp_path / "dags", "load_sheets")
    store = f"sqlite:///{tmp_path / 'airflow_ai.db'}"
    env = {
        "LIVE_STORE": store,
        "AIRFLOW__AI_PROVIDER__STATIC_DEVICES": "cpu:0,cpu:1",
        "AIRFLOW__AI_PROVIDER__LEASE_TTL": "60",
        "AIRFLOW_CONN_MLFLOW_DEFAULT": json.dumps({"conn_type": "mlflow", "host": mlflow_server}),
        "MLFLOW_TRACKING_URI": mlflow_server,
    }
    with live(tmp_path, store=store, env=env, dags=tmp_path / "dags") as staged:
        yield staged


def test_load_sheets_runs_as_it_is_begun(stage: LiveStage) -> None:
    clients = {name: stage.as_user(name) for name in ANSWERING}
    people = People(clients)

    def ended(dag_id: str) -> bool:
        people.answer_what_waits()
        stage.run(lambda: False, timeout=1)
        found = [run["state"] for run in stage.rest.runs() if run["dag_id"] == dag_id]
        return bool(found) and set(found) <= OVER

    stage.rest.trigger("load_sheets_feed")
    stage.wait("the digits", lambda: ended("load_sheets_feed"), timeout=120)
    stage.rest.trigger("discovery", {"project": "projects/load_sheets.yaml"})
    stage.wait("discovery", lambda: ended("discovery"), timeout=600)
    stage.wait("the pilots", lambda: ended("load_sheets_pilot"), timeout=600)
    for client in clients.values():
        client.close()

    failed = [task for task in stage.rest.tasks() if task["state"] in {"failed", "upstream_failed"}]
    assert [(task["dag_id"], task["task_id"]) for task in failed] == []
    opened = Store.open(stage.environment["LIVE_STORE"])
    records = Ledger(opened).search(limit=200)
    opened.close()
    verdicts = {record.subject: record.verdict for record in records}
    assert verdicts["project://load_sheets/discovery"] == Verdict.PASS.value
    # the digits are public: what was learnt on them goes no further, and the gate says so
    assert verdicts["project://load_sheets/pilot"] == Verdict.FAIL.value
    pilot = next(r for r in records if r.subject == "project://load_sheets/pilot")
    refused = {c["name"] for c in pilot.criteria if c["verdict"] == Verdict.FAIL.value}
    assert refused == {"admitted_pilots"}
    judged = [r for r in records if r.kind == "model" and r.verdict == Verdict.PASS.value]
    assert {r.subject.split("/")[2] for r in judged} == {"handwritten_digits", "one_or_seven"}
