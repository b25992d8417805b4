"""Data gates in DAG runs: Airflow's own task runner, scheduling rules and asset events."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from tests.edge.dag_runs import run_dags

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, the store and Airflow's home of one run of all DAGs."""
    return tmp_path_factory.mktemp("gates")


@pytest.fixture(scope="module")
def ran(folder: Path) -> dict[str, Any]:
    (folder / "good.csv").write_text("id\n1\n2\n")
    (folder / "bad.csv").write_text("id\n1\n1\n2\n")
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
        connection.execute("INSERT INTO orders VALUES (1), (2), (3)")
    Store.open(f"sqlite:///{folder}/ai.db").close()
    found: dict[str, Any] = run_dags(
        "run_gate_dags",
        "outcomes",
        "decorated",
        dags="gate_dags",
        folder=folder,
        AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL="1",
        AIRFLOW_CONN_SHOP=json.dumps({"conn_type": "sqlite", "host": f"{folder}/shop.db"}),
        GATE_DATA=str(folder),
    )
    return found


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("fail", ("failed", "upstream_failed", None)),
        ("skip", ("skipped", "skipped", None)),
        ("branch", ("success", "skipped", "success")),
        ("warn", ("success", "success", None)),
        ("passed", ("success", "success", "skipped")),
    ],
)
def test_what_follows_a_gate_does_what_on_fail_says(
    ran: dict[str, Any], name: str, states: tuple[str | None, ...]
) -> None:
    seen = ran["outcomes"]["states"]
    assert tuple(seen.get(f"{kind}_{name}") for kind in ("gate", "train", "ask")) == states


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("fail", "fail"), ("skip", "fail"), ("branch", "fail"), ("warn", "warn"), ("passed", "pass")],
)
def test_every_outcome_leaves_its_report_and_one_record(
    ran: dict[str, Any], folder: Path, name: str, verdict: str
) -> None:
    report = ran["outcomes"]["results"][f"gate_{name}"]
    assert (report["success"], report["verdict"]) == (name == "passed", verdict)
    store = Store.open(f"sqlite:///{folder}/ai.db")
    [record] = Ledger(store).search(subject=f"ai-data://{name}/2")
    store.close()
    assert (record.id, record.verdict, record.dag_id) == (report["record"], verdict, "outcomes")
    assert record.try_number == 1
    assert report["suite"] == ("orders of manual" if name == "skip" else "orders")
    quarantined = folder / "quarantine" / f"{name}.parquet"
    assert quarantined.exists() is (name != "passed")


def test_only_what_passes_is_announced_with_score_and_report(ran: dict[str, Any]) -> None:
    events = {e["uri"].rstrip("/"): e["extra"] for e in ran["outcomes"]["events"]}
    assert set(events) == {"ai-data://warn/2", "ai-data://passed/2"}
    for name, score in (("warn", 0.0), ("passed", 1.0)):
        extra = events[f"ai-data://{name}/2"]
        assert extra["score"] == score
        assert extra == ran["outcomes"]["results"][f"gate_{name}"]


def test_the_decorator_judges_what_its_function_returns(ran: dict[str, Any]) -> None:
    results = ran["decorated"]["results"]
    assert [results[name]["data"]["kind"] for name in ("files", "frames", "tables")] == [
        "files",
        "frame",
        "table",
    ]
    assert [results[name]["data"]["rows"] for name in ("files", "frames", "tables")] == [2, 2, 3]
    assert results["files"]["partition"] == "7"
    assert results["rows"] == 2


def test_others_may_require_the_newest_record(ran: dict[str, Any]) -> None:
    results, states = ran["decorated"]["results"], ran["decorated"]["states"]
    assert results["wait"]["record"] == results["guard"]["record"] == results["files"]["record"]
    assert results["guard"]["score"] == 1.0
    assert (states["refused"], states["after_refused"]) == ("skipped", "skipped")
    assert results["refused"]["reason"] == "no_record"
