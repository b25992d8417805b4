"""``airflow-ai feedback``, on a real store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider import cli

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
