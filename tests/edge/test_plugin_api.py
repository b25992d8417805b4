"""The plugin's routes answer those who are logged in, and nobody else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SCRIPT = """
import json, sys
sys.argv.append("api-server")
from airflow.api_fastapi.app import create_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi.testclient import TestClient
app = create_app(apps="core")
manager = app.state.auth_manager
paths = json.loads(sys.stdin.read())
answers = {}
for role in (None, "viewer", "user", "op", "admin"):
    headers, cookies = {}, {}
    if role:
        user = SimpleAuthManagerUser(username=role, role=role)
        headers = {"Authorization": f"Bearer {manager.generate_jwt(user)}"}
    client = TestClient(app, raise_server_exceptions=False)
    for path in paths:
        found = client.get(path, headers=headers)
        body = found.json() if found.headers.get("content-type") == "application/json" else None
        answers[f"{role} {path}"] = [found.status_code, body]
print("RESULT" + json.dumps(answers))
"""
PATHS = [
    "/airflow-ai/ledger",
    "/airflow-ai/ledger?kind=model",
    "/airflow-ai/ledger?limit=0",
    "/airflow-ai/ledger/verify",
    "/airflow-ai/ledger/none",
    "/airflow-ai/openapi.json",
    "/airflow-ai/docs",
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("airflow")
    store = Store.open(f"sqlite:///{home / 'airflow_ai.db'}")
    Ledger(store).append(
        GateDraft(kind=GateKind.DATA, subject="ai-data://x/1", verdict=Verdict.PASS)
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    env |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], env=env, check=True, capture_output=True
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=env, input=json.dumps(PATHS), text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, done.stdout + done.stderr
    return json.loads(lines[-1].removeprefix("RESULT"))


@pytest.mark.parametrize("path", PATHS)
def test_nobody_gets_nothing(answers: dict[str, Any], path: str) -> None:
    status, _ = answers[f"None {path}"]
    assert status in {401, 404}
    assert status == 401 or path.endswith(("json", "docs"))


@pytest.mark.parametrize("role", ["viewer", "user", "op", "admin"])
def test_who_is_logged_in_reads_the_ledger(answers: dict[str, Any], role: str) -> None:
    status, records = answers[f"{role} /airflow-ai/ledger"]
    assert status == 200
    assert [record["subject"] for record in records] == ["ai-data://x/1"]
    assert answers[f"{role} /airflow-ai/ledger?kind=model"] == [200, []]
    assert answers[f"{role} /airflow-ai/ledger?limit=0"][0] == 422
    assert answers[f"{role} /airflow-ai/ledger/none"][0] == 404
    verified = {"records": 1, "ok": True, "first_bad": None}
    assert answers[f"{role} /airflow-ai/ledger/verify"] == [200, verified]


@pytest.mark.parametrize("path", ["/airflow-ai/openapi.json", "/airflow-ai/docs"])
def test_what_fastapi_adds_by_itself_is_left_out(answers: dict[str, Any], path: str) -> None:
    assert {answers[f"{role} {path}"][0] for role in (None, "admin")} == {404}
