"""The report: Great Expectations' shape, the decision, and one that fits XCom."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.core.quality.report import (
    COMPACT_BYTES,
    ExpectationResult,
    QualityReport,
)
from airflow_ai_provider.core.quality.result import DataSeen, QualityResult
from airflow_ai_provider.core.quality.suite import Severity, parse_suite
from airflow_ai_provider.core.quality.values import json_safe


def report_of(*outcomes: tuple[str, bool], observed: Any = 7) -> QualityReport:
    """A report of expectations, each with a severity and whether it was met."""
    suite = parse_suite(
        {
            "name": "orders",
            "expectations": [
                {
                    "type": "expect_column_max_to_be_between",
                    "kwargs": {"column": f"c{i}", "max_value": 3},
                    "severity": severity,
                }
                for i, (severity, _) in enumerate(outcomes)
            ],
        }
    )
    return QualityReport(
        suite=suite,
        results=tuple(
            ExpectationResult(expectation=e, success=met, result={"observed_value": observed})
            for e, (_, met) in zip(suite.expectations, outcomes, strict=True)
        ),
    )


def result_of(report: QualityReport, **fields: Any) -> QualityResult:
    seen = DataSeen(path="/data/orders.parquet", size=1, digest="0" * 64, rows=2)
    return QualityResult(report=report, data=seen, **{"fail_on": Severity.CRITICAL} | fields)


@pytest.mark.parametrize(
    ("outcomes", "fail_on", "verdict"),
    [
        ([("critical", True)], "critical", Verdict.PASS),
        ([("warning", False), ("critical", True)], "critical", Verdict.WARN),
        ([("warning", False)], "warning", Verdict.FAIL),
        ([("critical", False)], "critical", Verdict.FAIL),
        ([("critical", False)], "info", Verdict.FAIL),
        ([("info", False)], "warning", Verdict.WARN),
        ([], "critical", Verdict.PASS),
    ],
)
def test_severity_decides(outcomes: list[tuple[str, bool]], fail_on: str, verdict: Verdict) -> None:
    assert report_of(*outcomes).verdict(Severity(fail_on)) is verdict


def test_the_shape_is_great_expectations_own() -> None:
    document = report_of(("critical", True), ("warning", False)).as_gx()
    assert document["success"] is False
    assert document["statistics"] == {
        "evaluated_expectations": 2,
        "successful_expectations": 1,
        "unsuccessful_expectations": 1,
        "success_percent": 50.0,
    }
    one = document["results"][1]
    assert one["expectation_config"] == {
        "type": "expect_column_max_to_be_between",
        "kwargs": {"column": "c1", "max_value": 3},
        "meta": {},
        "severity": "warning",
    }
    assert (one["success"], one["result"], one["engine"]) == (
        False,
        {"observed_value": 7},
        "compiled",
    )


def test_the_error_carries_the_failures_the_worst_first() -> None:
    error = result_of(report_of(("warning", False), ("critical", False))).error(record="r1")
    assert error.facts["record"] == "r1"
    assert [f["severity"] for f in error.facts["failed"]] == ["critical", "warning"]
    assert "failed 1 of 2 expectations" in str(error)


@pytest.mark.parametrize(
    ("fields", "subject"),
    [
        ({"dataset": "orders", "partition": "1"}, "ai-data://orders/1"),
        ({"dataset": "orders"}, "ai-data://orders"),
        ({}, "file:///data/orders.parquet"),
    ],
)
def test_the_subject_is_the_data_set_or_the_file(fields: dict[str, str], subject: str) -> None:
    assert result_of(report_of(), **fields).subject == subject


def test_a_record_says_of_each_expectation_what_was_asked_and_seen() -> None:
    draft = result_of(report_of(("critical", False))).draft()
    [criterion] = draft.criteria
    assert criterion.name == "expect_column_max_to_be_between(c0)"
    assert (criterion.limit, criterion.observed) == ({"max_value": 3}, {"observed_value": 7})
    assert criterion.verdict is Verdict.FAIL


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 100), st.text(max_size=400) | st.lists(st.floats(), max_size=100))
def test_the_compact_report_always_fits(failures: int, observed: Any) -> None:
    report = report_of(*[("critical", False)] * failures, observed=observed)
    compact = result_of(report).compact()
    assert len(json.dumps(compact).encode()) < COMPACT_BYTES
    assert len(compact["failed"]) + compact.get("failed_not_shown", 0) == failures


def test_values_become_json_numbers_left_numbers() -> None:
    values = [2**60, 1e300, float("nan"), float("-inf"), Decimal("1.5"), date(2013, 1, 2), {"é"}]
    assert json_safe(values) == [2**60, 1e300, None, "-inf", 1.5, "2013-01-02", ["é"]]
