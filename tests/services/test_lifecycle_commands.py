"""The commands: one JSON document, and the exit status that scripts rely on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.cli import main
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger

TEMPLATE = Path(__file__).parents[2] / "dags" / "projects" / "flight_delays.yaml"


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, Any]:
    status = main([*argv, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_good_project_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "project", "check", str(TEMPLATE)) == (0, {"ok": True, "errors": []})


def test_wrong_project_file_names_line_field_and_remedy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(TEMPLATE.read_text().replace("\nkpis:", "\nkpi:"))
    status, document = run(capsys, "project", "check", str(path))
    assert (status, document["ok"]) == (1, False)
    unknown = next(error for error in document["errors"] if error["field"] == "kpi")
    assert unknown["remedy"] == "Did you mean kpis?"
    assert path.read_text().splitlines()[unknown["line"] - 1] == "kpi:"
    assert main(["project", "check", str(path)]) == 1
    assert f"{path}:{unknown['line']}: kpi:" in capsys.readouterr().out


def test_trap_in_the_plan_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "trap.yaml"
    path.write_text(TEMPLATE.read_text().replace("pilot: true", "pilot: false"))
    status, document = run(capsys, "project", "check", str(path))
    assert status == 1
    assert [error["field"] for error in document["errors"]] == ["use_cases"]


def test_absent_project_file_could_not_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    status, document = run(capsys, "project", "check", "/no/such/file.yaml")
    assert status == 2
    assert document["errors"][0]["line"] == 1


def test_doctor_finds_everything_well(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ai.db'}"
    Store.open(url).close()
    status, document = run(capsys, "doctor", "--store", url, "--project", str(TEMPLATE))
    assert status == 0
    checks = {check["name"]: check for check in document["checks"]}
    assert set(checks) >= {"store", "ledger", "sqlite", "devices", "mlflow", "project"}
    assert all(check["ok"] for check in checks.values())
    assert set(checks["store"]) == {"name", "ok", "message", "remedy"}


def test_doctor_says_what_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, document = run(
        capsys, "doctor", "--store", f"sqlite:///{tmp_path / 'none.db'}", "--project", "none.yaml"
    )
    assert status == 1
    wrong = {check["name"]: check for check in document["checks"] if not check["ok"]}
    assert set(wrong) == {"store", "project"}
    assert all(check["remedy"] for check in wrong.values())
    assert not (tmp_path / "none.db").exists()


def test_doctor_finds_a_changed_record(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ai.db'}"
    store = Store.open(url)
    draft = GateDraft(kind=GateKind.DATA, subject="ai-data://a/b", verdict=Verdict.FAIL)
    Ledger(store).append(draft)
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE gate_record SET verdict = 'pass'")
    store.close()
    status, document = run(capsys, "doctor", "--store", url)
    assert status == 1
    (wrong,) = [check for check in document["checks"] if not check["ok"]]
    assert wrong["name"] == "ledger"
