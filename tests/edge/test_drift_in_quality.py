"""Drift, volume and freshness as criteria of the quality gate."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from fsspec.implementations.memory import MemoryFileSystem

from airflow_ai_provider.operators.quality import DataQualityGateOperator
from airflow_ai_provider.store.ledger import Ledger
from tests.edge.drift_scene import write
from tests.edge.task_context import context_of


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
