"""The drift gate's operator, with a context made by hand and a real store."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import defaultdict
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSkipException,
    DownstreamTasksSkipped,
)
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_ai_provider.assets import data_alias, data_asset
from airflow_ai_provider.core.errors import DatabaseLostError
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.operators.drift import DriftGateOperator
from airflow_ai_provider.operators.quality import DataQualityGateOperator
from airflow_ai_provider.services.drift import make_profile, write_profile
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger


class Events:
    def __init__(self) -> None:
        self.added: list[tuple[Any, dict[str, Any]]] = []

    def add(self, asset: Any, extra: dict[str, Any]) -> None:
        self.added.append((asset, extra))


class TaskInstance(SimpleNamespace):
    def xcom_push(self, key: str, value: Any) -> None:
        json.dumps(value)
        self.pushed[key] = value


def context_of(operator: Any, run_id: str = "r", try_number: int = 1) -> dict[str, Any]:
    ti = TaskInstance(
        dag_id="d",
        run_id=run_id,
        task_id=operator.task_id,
        map_index=-1,
        try_number=try_number,
        pushed={},
        task=operator,
    )
    return {"ti": ti, "outlet_events": defaultdict(Events)}


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    url = f"sqlite:///{tmp_path / 'airflow_ai.db'}"
    monkeypatch.setenv(
        "AIRFLOW_CONN_AI_STORE_DEFAULT",
        json.dumps({"conn_type": "ai_store", "extra": json.dumps({"url": url})}),
    )
    return Ledger(Store.open(url))


def write(path: Path, rows: int = 1_000, add: float = 0.0) -> str:
    select = (
        f"SELECT i % 100 + {add} AS amount, ['a', 'b'][i % 2 + 1] AS kind FROM range({rows}) t(i)"
    )
    duckdb.connect().execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return str(path)


@pytest.fixture
def reference(tmp_path: Path) -> str:
    return write(tmp_path / "reference.parquet")


@pytest.fixture
def profile(reference: str, tmp_path: Path) -> str:
    return str(write_profile(make_profile(reference), tmp_path / "profile.json"))


@pytest.fixture
def same(tmp_path: Path) -> str:
    return write(tmp_path / "same.parquet", rows=700)


@pytest.fixture
def moved(tmp_path: Path) -> str:
    return write(tmp_path / "moved.parquet", add=60.0)


@pytest.fixture
def little(tmp_path: Path) -> str:
    return write(tmp_path / "little.parquet", add=15.0)


@pytest.fixture
def elsewhere() -> MemoryFileSystem:
    files = MemoryFileSystem()
    attach("memory", fs=files)
    return files


def gate(**arguments: Any) -> DriftGateOperator:
    return DriftGateOperator(
        **{"task_id": "drift", "dataset": "orders", "partition": "1"} | arguments
    )


def test_data_like_the_reference_pass_with_a_record_and_an_event(
    ledger: Ledger, same: str, profile: str
) -> None:
    operator = gate(data=same, reference=profile)
    context = context_of(operator)

    report = operator.execute(context)

    assert (report["success"], report["verdict"], report["failed"]) == (True, "pass", [])
    assert (report["compared"], report["drifted"]) == (2, 0)
    record = ledger.get(report["record"])
    assert (record.kind, record.subject) == ("drift", "ai-data://orders/1")
    assert record.evidence["reference"]["profile"] is True
    assert record.evidence["data"]["digest"] == report["data"]["digest"]
    assert {c["name"] for c in record.criteria} >= {"psi(amount)", "ks(amount)", "psi(kind)"}
    [(asset, extra)] = context["outlet_events"][data_alias("orders")].added
    assert (asset, extra) == (data_asset("orders", "1"), report)


def test_drifted_data_fail_without_retry_after_report_and_record(
    ledger: Ledger, moved: str, reference: str
) -> None:
    operator = gate(data=moved, reference=reference)
    context = context_of(operator)

    with pytest.raises(AirflowFailException, match="amount"):
        operator.execute(context)

    report = context["ti"].pushed["return_value"]
    assert not report["success"]
    assert {f["column"] for f in report["failed"]} == {"amount"}
    assert len(json.dumps(report)) < 8 * 1024
    assert ledger.get(report["record"]).verdict == "fail"
    assert not context["outlet_events"]


def test_a_retry_leaves_one_record(ledger: Ledger, moved: str, reference: str) -> None:
    for attempt in (1, 2):
        operator = gate(data=moved, reference=reference)
        with pytest.raises(AirflowFailException):
            operator.execute(context_of(operator, try_number=attempt))
    assert len(ledger.search(kind=GateKind.DRIFT)) == 1


def test_a_limit_of_a_lesser_severity_only_warns(
    ledger: Ledger, little: str, reference: str
) -> None:
    limits = {"thresholds": {"ks": {"warning": 0.1, "critical": 0.5}}, "methods": ["ks"]}
    operator = gate(data=little, reference=reference, **limits)
    report = operator.execute(context_of(operator))
    assert (report["success"], report["verdict"]) == (True, "warn")
    strict = gate(data=little, reference=reference, fail_on="warning", **limits)
    with pytest.raises(AirflowFailException):
        strict.execute(context_of(strict))


def test_on_fail_skip_and_warn(ledger: Ledger, moved: str, reference: str) -> None:
    skipping = gate(data=moved, reference=reference, on_fail="skip")
    with pytest.raises(AirflowSkipException):
        skipping.execute(context_of(skipping))
    warning = gate(data=moved, reference=reference, on_fail="warn")
    context = context_of(warning, run_id="other")
    report = warning.execute(context)
    assert (report["success"], report["verdict"]) == (False, "warn")
    assert ledger.get(report["record"]).verdict == "warn"
    assert context["outlet_events"][data_alias("orders")].added


@pytest.mark.parametrize(("which", "skipped"), [("moved", ["train"]), ("same", ["look"])])
def test_on_fail_branch_takes_the_way_that_was_named(
    ledger: Ledger, reference: str, which: str, skipped: list[str], request: pytest.FixtureRequest
) -> None:
    with DAG("d"):
        operator = gate(
            data=request.getfixturevalue(which),
            reference=reference,
            on_fail="branch",
            branch_task_ids=["look"],
        )
        operator >> [EmptyOperator(task_id="train"), EmptyOperator(task_id="look")]
    context = context_of(operator)
    with pytest.raises(DownstreamTasksSkipped) as raised:
        operator.execute(context)
    assert list(raised.value.tasks) == skipped
    assert context["ti"].pushed["return_value"]["record"]


def test_an_absent_reference_fails_and_leaves_no_record(
    ledger: Ledger, same: str, tmp_path: Path
) -> None:
    operator = gate(data=same, reference=str(tmp_path / "absent.json"))
    with pytest.raises(AirflowFailException, match=r"absent\.json"):
        operator.execute(context_of(operator))
    assert ledger.search() == []


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A connection to a database with the tables ``same`` and ``moved``."""
    path = tmp_path / "orders.db"
    with closing(sqlite3.connect(path)) as connection:
        for name, add in (("same", 0), ("moved", 60)):
            connection.execute(f"CREATE TABLE {name} (amount REAL, kind TEXT)")
            rows = [(i % 100 + add, "ab"[i % 2]) for i in range(700)]
            connection.executemany(f"INSERT INTO {name} VALUES (?, ?)", rows)
        connection.commit()
    monkeypatch.setenv("AIRFLOW_CONN_ORDERS", f"sqlite:///{path}")
    return "orders"


def test_a_table_is_held_to_a_profile(ledger: Ledger, profile: str, orders: str) -> None:
    operator = gate(conn_id=orders, table="same", reference=profile)
    report = operator.execute(context_of(operator))
    assert (report["verdict"], report["compared"]) == ("pass", 2)
    seen = ledger.get(report["record"]).evidence["data"]
    assert (seen["kind"], seen["rows"]) == ("table", 700)
    assert seen["looked_at"]

    drifted = gate(conn_id=orders, table="moved", reference=profile)
    context = context_of(drifted, run_id="other")
    with pytest.raises(AirflowFailException, match="amount"):
        drifted.execute(context)
    assert {f["column"] for f in context["ti"].pushed["return_value"]["failed"]} == {"amount"}


def test_a_query_is_held_to_another(ledger: Ledger, orders: str) -> None:
    earlier = "SELECT amount FROM same WHERE amount < {{ limit }}"
    with DAG("d"):
        operator = gate(conn_id=orders, sql="SELECT amount FROM same", reference_sql=earlier)
    context = context_of(operator)
    operator.render_template_fields({**context, "limit": 99})
    report = operator.execute(context)
    assert (report["verdict"], report["reference"]["rows"]) == ("pass", 693)
    assert (
        report["reference"]["digest"] == hashlib.sha256(operator.reference_sql.encode()).hexdigest()
    )


def test_a_suite_over_a_table_holds_drift(ledger: Ledger, profile: str, orders: str) -> None:
    drift = expectation("expect_column_drift_to_be_less_than", column="amount", reference=profile)
    arguments = {"conn_id": orders, "suite": {"name": "s", "expectations": [drift]}}
    operator = DataQualityGateOperator(task_id="gate", table="same", **arguments)
    assert operator.execute(context_of(operator))["verdict"] == "pass"
    moved = DataQualityGateOperator(task_id="gate", table="moved", **arguments)
    with pytest.raises(AirflowFailException, match="drift"):
        moved.execute(context_of(moved, run_id="other"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"reference": "r"}, "one of data, table and sql"),
        ({"data": "x", "sql": "SELECT 1", "reference": "r"}, "one of data, table and sql"),
        ({"data": "x"}, "one of reference, reference_table and reference_sql"),
        ({"table": "same", "reference": "r"}, "conn_id names no connection"),
    ],
)
def test_exactly_one_of_each_is_given(ledger: Ledger, given: dict[str, str], said: str) -> None:
    operator = gate(**given)
    with pytest.raises(AirflowFailException, match=said):
        operator.execute(context_of(operator))


def test_a_database_that_is_away_is_tried_again(
    ledger: Ledger, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", "postgres://u:secret@127.0.0.1:9/db")
    operator = gate(conn_id="away", table="orders", reference=profile)
    with pytest.raises(DatabaseLostError, match="lost or refused") as raised:
        operator.execute(context_of(operator))
    assert not isinstance(raised.value, AirflowFailException)
    assert "secret" not in str(raised.value)
    assert ledger.search() == []


def test_settings_that_mean_nothing_fail_without_retry(
    ledger: Ledger, same: str, reference: str
) -> None:
    operator = gate(data=same, reference=reference, methods=["median"])
    with pytest.raises(AirflowFailException, match="median"):
        operator.execute(context_of(operator))


def test_a_reference_elsewhere_is_fetched(
    ledger: Ledger, same: str, profile: str, elsewhere: MemoryFileSystem
) -> None:
    elsewhere.pipe("/drift/profile.json", Path(profile).read_bytes())
    operator = gate(data=same, reference="memory://drift/profile.json")
    report = operator.execute(context_of(operator))
    assert report["reference"]["path"] == "memory://drift/profile.json"
    assert report["reference"]["profile"] is True


def test_every_template_field_is_rendered(ledger: Ledger, same: str, reference: str) -> None:
    with DAG("d"):
        operator = gate(
            data="{{ data }}",
            reference="{{ reference }}",
            thresholds={"psi": "{{ limit }}"},
            columns=["{{ column }}"],
            methods=["{{ method }}"],
            partition="{{ part }}",
        )
    context = context_of(operator)
    values = {"data": same, "reference": reference, "limit": 0.3, "column": "amount", "part": "7"}
    values["method"] = "psi"
    operator.render_template_fields({**context, **values})
    report = operator.execute(context)
    assert (report["compared"], report["partition"]) == (1, "7")
    [criterion] = ledger.get(report["record"]).criteria
    assert criterion["limit"] == {"critical": 0.3}


def test_the_alias_is_an_outlet_only_of_a_named_data_set_that_is_announced() -> None:
    given = {"data": "x", "reference": "y"}
    assert gate(**given).outlets == [data_alias("orders")]
    assert gate(**given, announce=False).outlets == []
    assert gate(**{**given, "dataset": "{{ params.name }}"}).outlets == []


def expectation(kind: str, severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": severity}


def quality(data: str, *expectations: dict[str, Any], **arguments: Any) -> DataQualityGateOperator:
    suite = {"name": "orders", "expectations": list(expectations)}
    return DataQualityGateOperator(
        **{"task_id": "gate", "data": data, "suite": suite, "dataset": "orders", "partition": "1"}
        | arguments
    )


def test_drift_is_a_criterion_of_the_quality_gate_with_the_rest(
    ledger: Ledger, moved: str, profile: str
) -> None:
    operator = quality(
        moved,
        expectation("expect_column_values_to_not_be_null", column="amount"),
        expectation(
            "expect_column_drift_to_be_less_than",
            "warning",
            column="amount",
            reference={"$PARAMETER": "reference"},
        ),
        expectation("expect_table_row_count_to_be_between", min_value=1),
        suite_parameters={"reference": profile},
    )
    report = operator.execute(context_of(operator))
    assert (report["verdict"], report["evaluated"], report["engine"]) == ("warn", 3, "compiled")
    [failed] = report["failed"]
    assert failed["type"] == "expect_column_drift_to_be_less_than"
    assert failed["observed_value"] > 0.25
    assert [c["verdict"] for c in ledger.get(report["record"]).criteria] == ["pass", "warn", "pass"]


def test_volume_is_held_to_the_deliveries_that_passed_before(
    ledger: Ledger, tmp_path: Path
) -> None:
    near = expectation(
        "expect_table_row_count_to_be_near_reference", last_records=3, min_records=0, min_ratio=0.5
    )
    for number, rows in enumerate((1_000, 900, 1_100, 100)):
        data = write(tmp_path / f"{number}.parquet", rows)
        operator = quality(data, near, partition=str(number))
        context = context_of(operator, run_id=str(number))
        if rows > 500:
            assert operator.execute(context)["verdict"] == "pass"
            continue
        with pytest.raises(AirflowFailException):
            operator.execute(context)
        again = quality(data, near, partition=str(number))  # not compared with itself
        with pytest.raises(AirflowFailException):
            again.execute(context_of(again, run_id="again"))


def test_a_first_delivery_has_nothing_to_be_held_to(ledger: Ledger, same: str) -> None:
    near = expectation("expect_table_row_count_to_be_near_reference", last_records=3, min_ratio=0.5)
    operator = quality(same, near)
    with pytest.raises(AirflowFailException):
        operator.execute(context_of(operator))


def test_a_fetched_file_keeps_the_age_it_has_where_it_comes_from(
    ledger: Ledger, same: str, elsewhere: MemoryFileSystem
) -> None:
    recent = expectation("expect_files_to_be_recent", max_age="1h")
    elsewhere.pipe("/drift/new.parquet", Path(same).read_bytes())
    operator = quality("memory://drift/new.parquet", recent)
    assert operator.execute(context_of(operator))["verdict"] == "pass"
    stored = elsewhere.store["/drift/new.parquet"]
    stored.created = stored.modified = datetime(2020, 1, 1, tzinfo=timezone.utc)
    operator = quality("memory://drift/new.parquet", recent)
    with pytest.raises(AirflowFailException, match="2020"):
        operator.execute(context_of(operator, run_id="later"))
