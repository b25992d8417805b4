"""The data gate's operator, with a context made by hand and a real store."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, ObjectStoragePath
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSkipException,
    DownstreamTasksSkipped,
)

from airflow_ai_provider.assets import data_alias, data_asset
from airflow_ai_provider.core.errors import DataQualityGateError
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.decorators.quality import quality_gate_task
from airflow_ai_provider.hooks.quality import DataQualityHook
from airflow_ai_provider.operators.quality import DataQualityGateOperator
from airflow_ai_provider.store.ledger import Ledger
from tests.edge.task_context import context_of

SUITE = {
    "name": "orders",
    "expectations": [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "id"}},
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "amount", "min_value": 0},
            "severity": "warning",
        },
    ],
}


def write(path: Path, values: str) -> str:
    rows = f"SELECT id, amount::DOUBLE AS amount FROM (VALUES {values}) t(id, amount)"
    duckdb.sql(f"COPY ({rows}) TO '{path}'")
    return str(path)


@pytest.fixture
def good(tmp_path: Path) -> str:
    return write(tmp_path / "good.parquet", "(1, 2.0), (2, 3.0)")


@pytest.fixture
def poor(tmp_path: Path) -> str:
    return write(tmp_path / "poor.parquet", "(1, 2.0), (2, -3.0)")


@pytest.fixture
def bad(tmp_path: Path) -> str:
    return write(tmp_path / "bad.parquet", "(1, 2.0), (NULL, -3.0)")


def gate(**arguments: Any) -> DataQualityGateOperator:
    return DataQualityGateOperator(
        **{"task_id": "gate", "suite": SUITE, "dataset": "orders", "partition": "1"} | arguments
    )


def test_good_data_pass_with_a_record_and_an_event(ledger: Ledger, good: str) -> None:
    operator = gate(data=good)
    context = context_of(operator)

    report = operator.execute(context)

    assert report["success"]
    assert report["verdict"] == "pass"
    assert report["data"]["rows"] == 2
    record = ledger.get(report["record"])
    assert (record.kind, record.subject) == ("data", "ai-data://orders/1")
    assert record.evidence["data"]["digest"] == report["data"]["digest"]
    assert (record.dag_id, record.task_id) == ("d", "gate")
    [(asset, extra)] = context["outlet_events"][data_alias("orders")].added
    assert asset == data_asset("orders", "1")
    assert extra == report


def test_bad_data_fail_without_retry_after_report_and_record(
    ledger: Ledger, bad: str, tmp_path: Path
) -> None:
    operator = gate(data=bad, quarantine_path=str(tmp_path / "q" / "bad.parquet"))
    context = context_of(operator)

    with pytest.raises(
        AirflowFailException, match=r"expect_column_values_to_not_be_null\(id\)"
    ) as raised:
        operator.execute(context)

    report = context["ti"].pushed["return_value"]
    assert not report["success"]
    assert [f["severity"] for f in report["failed"]] == ["critical", "warning"]
    assert report["quarantine"]["rows"] == 1
    assert ledger.get(report["record"]).verdict == "fail"
    assert not context["outlet_events"]
    error = raised.value.__cause__
    assert isinstance(error, DataQualityGateError)
    assert error.facts == {"record": report["record"], "failed": report["failed"]}


def test_a_retry_leaves_one_record(ledger: Ledger, bad: str) -> None:
    for attempt in (1, 2):
        with pytest.raises(AirflowFailException):
            gate(data=bad).execute(context_of(gate(data=bad), try_number=attempt))
    assert len(ledger.search(kind=GateKind.DATA)) == 1


def test_a_mere_warning_lets_pass(ledger: Ledger, poor: str) -> None:
    report = gate(data=poor).execute(context_of(gate(data=poor)))
    assert (report["success"], report["verdict"]) == (True, "warn")


def test_fail_on_warning_refuses_it(ledger: Ledger, poor: str) -> None:
    operator = gate(data=poor, fail_on="warning")
    with pytest.raises(AirflowFailException):
        operator.execute(context_of(operator))


def test_on_fail_skip_skips(ledger: Ledger, bad: str) -> None:
    operator = gate(data=bad, on_fail="skip")
    context = context_of(operator)
    with pytest.raises(AirflowSkipException):
        operator.execute(context)
    assert context["ti"].pushed["return_value"]["verdict"] == "fail"


def test_on_fail_warn_goes_on_and_says_so(ledger: Ledger, bad: str) -> None:
    operator = gate(data=bad, on_fail="warn")
    context = context_of(operator)
    report = operator.execute(context)
    assert (report["success"], report["verdict"]) == (False, "warn")
    assert ledger.get(report["record"]).verdict == "warn"
    assert context["outlet_events"][data_alias("orders")].added


@pytest.mark.parametrize(("which", "skipped"), [("bad", ["train"]), ("good", ["ask_again"])])
def test_on_fail_branch_takes_the_way_that_was_named(
    ledger: Ledger, which: str, skipped: list[str], request: pytest.FixtureRequest
) -> None:
    with DAG("d"):
        operator = gate(
            data=request.getfixturevalue(which), on_fail="branch", branch_task_ids=["ask_again"]
        )
        operator >> [EmptyOperator(task_id="train"), EmptyOperator(task_id="ask_again")]
    context = context_of(operator)
    with pytest.raises(DownstreamTasksSkipped) as raised:
        operator.execute(context)
    assert list(raised.value.tasks) == skipped
    assert context["ti"].pushed["return_value"]["record"]


def test_absent_data_fail_and_leave_no_record(ledger: Ledger, tmp_path: Path) -> None:
    operator = gate(data=str(tmp_path / "absent.parquet"))
    with pytest.raises(AirflowFailException, match="no such file"):
        operator.execute(context_of(operator))
    assert ledger.search() == []


def test_the_alias_is_an_outlet_only_of_a_named_data_set() -> None:
    assert gate(data="x").outlets == [data_alias("orders")]
    assert gate(data="x", dataset="{{ params.name }}").outlets == []


def test_every_argument_is_stored_as_given() -> None:
    given = {"data": "{{ d }}", "suite": SUITE, "engine": "{{ e }}", "suite_parameters": {"a": 1}}
    operator = gate(**given)
    assert {name: getattr(operator, name) for name in given} == given


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A SQLite table behind an Airflow connection."""
    path = tmp_path / "orders.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, amount REAL)")
        connection.execute("INSERT INTO orders VALUES (1, 2.0), (2, -3.0)")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return "orders"


@pytest.mark.parametrize("what", [{"table": "orders"}, {"sql": "SELECT * FROM orders"}])
def test_a_table_behind_a_connection_is_judged(
    ledger: Ledger, table: str, what: dict[str, str]
) -> None:
    operator = gate(conn_id="shop", **what)
    report = operator.execute(context_of(operator))
    assert (report["verdict"], report["engine"]) == ("warn", "compiled")
    assert report["data"]["rows"] == 2
    assert report["data"]["kind"] == ("table" if "table" in what else "query")


def test_a_frame_comes_from_a_function_at_run_time(ledger: Ledger) -> None:
    def frame(ti: Any) -> Any:
        import pandas as pd

        return pd.DataFrame({"id": [1, 2], "amount": [1.0, 2.0 if ti.try_number else -1]})

    operator = gate(frame_callable=frame)
    report = operator.execute(context_of(operator))
    assert (report["success"], report["data"]["kind"]) == (True, "frame")


def test_several_suites_are_one_gate(ledger: Ledger, poor: str) -> None:
    count = {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 3}, "severity": "info"}
    operator = gate(data=poor, suite=[SUITE, {"name": "shape", "expectations": [count]}])
    report = operator.execute(context_of(operator))
    assert report["suite"] == "orders + shape"
    assert {f["suite"] for f in report["failed"]} == {"orders", "shape"}


def no_arguments() -> dict[str, Any]:
    return SUITE


def as_airflow_calls(context: Any, jinja_env: Any) -> dict[str, Any]:
    assert jinja_env is not None
    return {**SUITE, "name": context["run_id"]}


def by_name(run_id: str) -> dict[str, Any]:
    return {**SUITE, "name": run_id}


@pytest.mark.parametrize(
    ("suite", "name"), [(no_arguments, "orders"), (as_airflow_calls, "r"), (by_name, "r")]
)
@pytest.mark.parametrize("mapped", [False, True])
def test_a_suite_may_be_a_function(suite: Any, name: str, mapped: bool) -> None:
    context = {"run_id": "r"}
    if mapped:
        with DAG("d"):
            made = DataQualityGateOperator.partial(task_id="gate", suite=suite).expand(data=["x"])
        operator = made.unmap({"data": "x"})
        operator._do_render_template_fields(
            parent=operator, template_fields=operator.template_fields, context=context,
            jinja_env=operator.get_template_env(), seen_oids=set(),
        )  # fmt: skip
    else:
        with DAG("d"):
            operator = gate(data="x", suite=suite)
        operator.render_template_fields(context)
    assert operator.suite["name"] == name


def decorated(function: Any, **arguments: Any) -> Any:
    with DAG("d"):
        return quality_gate_task(function, task_id="gate", suite=SUITE, **arguments)().operator


@pytest.mark.parametrize("kind", ["path", "address", "storage", "mapping", "source"])
def test_the_decorator_takes_what_its_function_returns(
    ledger: Ledger, good: str, table: str, kind: str
) -> None:
    given = {
        "path": Path(good),
        "address": f"file://{good}",
        "storage": ObjectStoragePath(f"file://{good}"),
        "mapping": {"sql": "SELECT * FROM orders"},
        "source": DataQualityHook().source("shop", table=table),
    }[kind]
    operator = decorated(lambda: given, conn_id="shop", dataset="orders")
    assert operator.execute(context_of(operator))["data"]["rows"] == 2
    assert operator.outlets == [data_alias("orders")]
    assert operator.custom_operator_name == "@task.quality_gate"
    assert all(hasattr(operator, field) for field in operator.template_fields)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "returned nothing"),
        ("", "returned nothing"),
        (3, "returned a int"),
        ({"table": "t"}, "needs conn_id, and table or sql"),
        ({"conn_id": "shop", "table": "t", "sql": "s"}, "needs conn_id, and table or sql"),
        ({"conn_id": "shop", "tabel": "t"}, "unknown tabel"),
    ],
)
def test_a_function_that_returns_no_data_fails_its_gate(
    ledger: Ledger, given: Any, said: str
) -> None:
    def delivered() -> Any:
        return given

    operator = decorated(delivered)
    with pytest.raises(
        AirflowFailException, match=f"delivered returned.*{said.rsplit(maxsplit=1)[-1]}"
    ):
        operator.execute(context_of(operator))
    assert ledger.search() == []


def test_a_decorated_gate_has_no_other_data(ledger: Ledger) -> None:
    operator = decorated(lambda: "x.csv", data="y.csv")
    with pytest.raises(AirflowFailException, match="its function says what to look at"):
        operator.execute(context_of(operator))


def test_decorated_gates_can_be_mapped() -> None:
    with DAG("d"):
        gate = quality_gate_task(lambda path: path, task_id="gate", suite=SUITE)
        mapped = gate.expand(path=["a", "b"])
    assert mapped.operator.partial_kwargs["suite"] == SUITE


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "Give one of data"),
        ({"data": "x.parquet", "table": "t"}, "Give one of data"),
        ({"table": "t"}, "names no connection"),
    ],
)
def test_what_to_look_at_is_said_once(ledger: Ledger, arguments: dict[str, str], said: str) -> None:
    operator = gate(**arguments)
    with pytest.raises(AirflowFailException, match=said):
        operator.execute(context_of(operator))
