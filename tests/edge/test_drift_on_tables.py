"""The drift gate on tables and queries of a database."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import DatabaseLostError
from airflow_ai_provider.operators.quality import DataQualityGateOperator
from airflow_ai_provider.store.ledger import Ledger
from tests.edge.drift_scene import gate
from tests.edge.task_context import context_of


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
    limits = {"column": "amount", "reference": profile}
    drift = {"type": "expect_column_drift_to_be_less_than", "kwargs": limits}
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
