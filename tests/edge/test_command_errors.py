"""Whatever is wrong in a command line, it is said in a sentence, with what to do next."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_ai_provider import cli

CANNOT = (
    ("gpu sync-pools --api-conn-id nobody", r"nobody.*AIRFLOW_CONN_"),
    ("quality profile nobody --table t --output {here}/o.json", r"nobody.*AIRFLOW_CONN_"),
    ("promotion history m --export {here}/no/x.csv", r"cannot be written to .*Name a file"),
    ("feedback status --delta {here}/no", r"no Delta table at .*feedback tables"),
    ("feedback export {here}/e.jsonl --delta {here}/no", r"no Delta table at"),
    ("feedback forget --person ann --delta {here}/no", r"no Delta table at"),
    ("project refine {here}/no.yaml", r"no project file .*project init"),
    ("gpu status --store sqlite:///{here}/no/other.db", r"no store at .*store migrate"),
)
MISUSED = (
    ("gpu quota set --team a --ceiling many", "'many' is neither a number nor \"none\""),
    ("feedback quarantine list --limit 0", "'0' is no whole number above 0"),
    ("quality scan {here}/d.csv --sample -3", "'-3' is no whole number above 0"),
    ("quality suggest {here}/d.csv --sample x", "'x' is no whole number above 0"),
)


@pytest.fixture
def url(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    address = f"sqlite:///{tmp_path / 'ai.db'}"
    assert cli.main(["store", "migrate", "--store", address]) == 0
    capsys.readouterr()
    return address


@pytest.mark.parametrize(("line", "says"), CANNOT)
def test_what_cannot_be_done_is_said_with_a_remedy(
    line: str, says: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = line.format(here=tmp_path).split()
    assert cli.main(["--store", url, "--json", *words]) == 2
    told = capsys.readouterr()
    assert re.search(says, json.loads(told.out)["message"])
    assert re.search(says, told.err)


@pytest.mark.parametrize(("line", "says"), MISUSED)
def test_a_word_that_means_nothing_is_named(
    line: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(line.format(here=tmp_path).split())
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_who_takes_feedback_in_is_told_what_comes_next(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text("no record\n")
    assert cli.main(["feedback", "ingest", str(file), "--store", url]) == 0
    assert "quarantine list` says why" in capsys.readouterr().out
    assert cli.main(["feedback", "ingest", f"{tmp_path}/*.none", "--store", url]) == 0
    assert "Nothing new was there" in capsys.readouterr().out


@pytest.mark.parametrize(
    "connection", ["ai-store://u:p@host:many/ai", '{"host": "h", "port": "many"}']
)
def test_a_connection_without_a_port_is_no_stack_trace(
    connection: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AI_STORE_DEFAULT", connection)
    assert cli.main(["gpu", "status"]) == 2
    assert "StoreError" in capsys.readouterr().err


@pytest.mark.slow
def test_what_airflow_logs_is_no_part_of_the_document(tmp_path: Path) -> None:
    """The first look at a store migrates it, which is logged; Airflow is asked where it is."""
    home = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    home.pop("AIRFLOW_CONN_AI_STORE_DEFAULT", None)
    command = [sys.executable, "-m", "airflow_ai_provider.cli", "store", "migrate", "--json"]
    done = subprocess.run(command, env=home, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["store"] == f"sqlite:///{tmp_path}/airflow_ai.db"
    assert "Running upgrade" in done.stderr
