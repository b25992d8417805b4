"""``airflow-ai feedback``, on a real store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider import cli
from airflow_ai_provider.core.feedback.exceptions import Asking, Finding, Reason
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exceptions import ExceptionQueue
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.ledger import Ledger

MODEL = "flight_delays"


def outcomes(folder: Path, count: int) -> str:
    told = {"model_name": MODEL, "observed_at": "2013-06-10T00:00:00Z", "review": 5}
    file = folder / "outcomes.jsonl"
    file.write_text("\n".join(json.dumps({"feedback_id": n, **told}) for n in range(count)))
    return str(file)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    status = cli.main(["feedback", *arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_the_command_ingests_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 'cli.db'}"
    file = outcomes(tmp_path, 3)
    status, counts = run(capsys, "ingest", file, "--map", "score=review", "--store", url)
    assert (status, counts["read"], counts["stored"]) == (0, 3, 3)
    status, counts = run(capsys, "ingest", file, file, "--map", "score=review", "--store", url)
    assert (status, counts["read"], counts["duplicates"]) == (0, 6, 6)
    status, totals = run(capsys, "status", "--store", url)
    assert status == 0
    assert (totals["stored"], totals["revised"], totals["quarantined"]) == (3, 0, 0)
    assert totals["models"] == {MODEL: 3}
    assert cli.main(["feedback", "status", "--store", url]) == 0
    assert "3 stored" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["ingest", "/no/such/file"], ["ingest", "x", "--map", "score"], ["status"]]
)
def test_the_command_says_when_it_could_not_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    status, document = run(capsys, *arguments, "--store", f"sqlite:///{tmp_path / 'none.db'}")
    assert status == 2
    assert document["error"].endswith("Error")


def test_status_tells_of_the_queue_live_figures_and_decisions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'cli.db'}"
    store = Store.open(url)
    found = Finding(model_name=MODEL, prediction_id="p", reason=Reason.DISPUTED, urgency=1)
    ExceptionQueue(store).add([found], Asking())
    point = {"model_name": MODEL, "model_version": "2", "slice": "", "metric": "gap", "n": 9}
    MetricSeries(store).write(
        [
            {**point, "partition": month, "value": value, "low": value - 0.1, "high": value + 0.1}
            for month, value in (("2013-05", 0.4), ("2013-06", -0.2))
        ]
    )
    evidence = {"partition": "2013-06", "summary": "Do not retrain: all is well."}
    draft = GateDraft(
        kind=GateKind.RETRAIN,
        subject=f"mlflow://{MODEL}/2",
        verdict=Verdict.FAIL,
        evidence=evidence,
    )
    record = Ledger(store).append(draft)
    status, told = run(capsys, "status", "--store", url)
    assert status == 0
    assert told["exceptions"][MODEL]["open"] == 1
    assert told["live"] == {MODEL: {"2": {"partition": "2013-06", "gap": -0.2}}}
    assert told["decisions"][MODEL]["record"] == record.id
    assert cli.main(["feedback", "status", "--store", url]) == 0
    said = capsys.readouterr().out
    assert "1 predictions wait for people" in said
    assert "all is well" in said
    report = tmp_path / "page.html"
    status, points = run(capsys, "metrics", MODEL, "--report", str(report), "--store", url)
    assert (status, [point["value"] for point in points]) == (0, [0.4, -0.2])
    assert "<svg" in report.read_text()
    assert cli.main(["feedback", "metrics", MODEL, "--store", url]) == 0
    assert "-0.2" in capsys.readouterr().out
    status, _ = run(capsys, "metrics", MODEL, "--report", "/no/such/x.html", "--store", url)
    assert status == 2
