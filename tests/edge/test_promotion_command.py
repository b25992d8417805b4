"""``airflow-ai promotion history``."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta

import pytest

from airflow_ai_provider.cli import main
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger


@pytest.fixture
def url(tmp_path):
    found = f"sqlite:///{tmp_path / 'airflow_ai.db'}"
    ledger = Ledger(Store.open(found))
    for version in ("1", "2"):
        ledger.append(
            GateDraft(
                kind=GateKind.PROMOTION,
                subject=f"mlflow://m/{version}",
                verdict=Verdict.PASS,
                evidence={"environment": "production", "to": version, "why": "it is better"},
                decided_by="sponsor",
            )
        )
    return found


def test_the_whole_history(url, capsys):
    assert main(["promotion", "history", "m", "--store", url, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(i["version"], i["by"], i["why"]) for i in found] == [
        ("1", "sponsor", "it is better"),
        ("2", "sponsor", "it is better"),
    ]
    assert set(found[0]) == {"environment", "version", "from", "to", "by", "why", "record"}
    assert found[0]["to"] == found[1]["from"]


def test_what_held_then(url, capsys):
    main(["promotion", "history", "m", "--store", url, "--json"])
    change = datetime.fromisoformat(json.loads(capsys.readouterr().out)[1]["from"])
    for moment, version in ((change, "2"), (change - timedelta(microseconds=1), "1")):
        text = moment.isoformat().replace("+00:00", "Z")
        main(["promotion", "history", "m", "--at", text, "--store", url, "--json"])
        assert [i["version"] for i in json.loads(capsys.readouterr().out)] == [version]


def test_for_people(url, capsys):
    main(["promotion", "history", "m", "--store", url])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["environment", "version", "from", "to", "by", "why"]
    assert len(lines) == 3
    main(["promotion", "history", "other", "--store", url])
    assert "other was in no environment" in capsys.readouterr().out


def test_a_time_that_is_none(url, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["promotion", "history", "m", "--at", "yesterday", "--store", url])
    assert caught.value.code == 2
    assert "no time in ISO 8601" in capsys.readouterr().err


def test_a_history_is_exported(url, tmp_path, capsys):
    main(["promotion", "history", "m", "--store", url, "--json"])
    told = json.loads(capsys.readouterr().out)
    lines, sheet = tmp_path / "h.jsonl", tmp_path / "h.CSV"
    for path in (lines, sheet):
        assert main(["promotion", "history", "m", "--store", url, "--export", str(path)]) == 0
    assert [json.loads(line) for line in lines.read_text().splitlines()] == told
    with sheet.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows == [{k: v or "" for k, v in interval.items()} for interval in told]
    assert sorted(p.name for p in tmp_path.glob("*h.*")) == ["h.CSV", "h.jsonl"]


@pytest.mark.parametrize("name", ["h.xlsx", "h", "no/such/folder/h.csv"])
def test_a_history_that_cannot_be_exported(url, tmp_path, capsys, name):
    path = str(tmp_path / name)
    assert main(["promotion", "history", "m", "--store", url, "--export", path]) == 2
    assert "airflow-ai: " in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir() if "airflow_ai" not in p.name] == []
