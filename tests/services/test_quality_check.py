"""The gate as a whole: decision, quarantine, record, and the refusal to look away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_ai_provider.core.errors import DataReadError, QualityError, SuiteError
from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.services.quality import check, load_suite
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger

ROWS = """
    (1, 'EWR', 5.0::DOUBLE), (2, 'JFK', -1.0), (2, 'LGA', 7.0), (3, NULL, 'nan'), (4, 'jfk', NULL)
"""


def expect(kind: str, severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity}


def suite_of(*expectations: dict[str, Any]) -> dict[str, Any]:
    return {"name": "orders", "expectations": list(expectations)}


UNIQUE = expect("column_values_to_be_unique", column="id")
PLACE = expect("column_values_to_match_regex", column="place", regex="^[A-Z]{3}$")
POSITIVE = expect("column_values_to_be_between", column="amount", min_value=0)
THERE = expect("column_values_to_not_be_null", "warning", column="amount", mostly=0.5)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "orders.parquet"
    typed = "SELECT id, place, amount::DOUBLE AS amount"
    duckdb.sql(f"COPY ({typed} FROM (VALUES {ROWS}) t(id, place, amount)) TO '{path}'")
    return path


def rows_of(path: Path | str) -> list[tuple[Any, ...]]:
    return duckdb.sql(f"SELECT * FROM '{path}' ORDER BY ALL").fetchall()


def test_failing_rows_are_kept_apart_with_what_they_failed(data: Path, tmp_path: Path) -> None:
    result = check(
        data,
        suite_of(UNIQUE, PLACE, POSITIVE, THERE),
        quarantine_path=tmp_path / "bad" / "orders.parquet",
        good_rows_path=tmp_path / "good.parquet",
    )
    assert result.verdict is Verdict.FAIL
    assert result.quarantine is not None
    assert result.quarantine.rows == 3
    unique, place, positive = (
        "expect_column_values_to_be_unique(id)",
        "expect_column_values_to_match_regex(place)",
        "expect_column_values_to_be_between(amount)",
    )
    assert rows_of(result.quarantine.path) == [
        (2, "JFK", -1.0, [unique, positive]),
        (2, "LGA", 7.0, [unique]),
        (4, "jfk", None, [place]),
    ]
    assert rows_of(tmp_path / "good.parquet") == [(1, "EWR", 5.0), (3, None, None)]


def test_nothing_is_quarantined_when_all_is_well(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "bad.parquet"
    result = check(data, suite_of(THERE), quarantine_path=target)
    assert (result.verdict, result.quarantine, target.exists()) == (Verdict.PASS, None, False)


def test_results_keep_the_order_of_the_suite_and_show_failing_values(data: Path) -> None:
    report = check(data, suite_of(PLACE, UNIQUE, THERE)).report
    assert [r.expectation.index for r in report.results] == [0, 1, 2]
    assert report.results[0].result["partial_unexpected_list"] == ["jfk"]
    assert report.results[1].result["partial_unexpected_counts"] == [{"value": 2, "count": 2}]
    assert report.results[2].result["unexpected_count"] == 2


def test_a_table_without_rows_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    path.write_text("id,place\n")
    count = expect("table_row_count_to_be_between", min_value=1)
    result = check(path, suite_of(UNIQUE, count))
    assert [r.success for r in result.report.results] == [True, False]
    assert result.verdict is Verdict.FAIL


def test_the_record_of_a_refusal_joins_the_ledger(data: Path, store: Store) -> None:
    result = check(data, suite_of(UNIQUE), dataset="orders", partition="1", project="p")
    record = Ledger(store).append(result.draft())
    assert (record.verdict, record.subject) == ("fail", "ai-data://orders/1")
    assert record.evidence["data"]["digest"] == result.data.digest
    assert record.evidence["suite"]["digest"] == result.report.suite.digest
    assert Ledger(store).verify() == (1, None)


def test_expectations_of_one_label_quarantine_together(data: Path, tmp_path: Path) -> None:
    low = expect("column_values_to_be_between", column="id", min_value=2)
    high = expect("column_values_to_be_between", column="id", max_value=3)
    result = check(data, suite_of(low, high), quarantine_path=tmp_path / "bad.parquet")
    assert result.quarantine is not None
    assert [row[0] for row in rows_of(result.quarantine.path)] == [1, 4]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"suite": "absent.json"}, SuiteError),
        ({"suite": suite_of(expect("column_max_to_be_between", column="x"))}, SuiteError),
        (
            {"suite": suite_of(expect("column_values_to_be_json_parseable", column="place"))},
            SuiteError,
        ),
        ({"engine": "spark"}, QualityError),
        ({"fail_on": "never"}, QualityError),
        ({"data": "absent.parquet"}, DataReadError),
    ],
)
def test_it_never_passes_because_it_could_not_look(
    data: Path, arguments: dict[str, Any], error: type[Exception]
) -> None:
    given = {"data": data, "suite": suite_of(THERE), "engine": "compiled"} | arguments
    with pytest.raises(error):
        check(**given)


def test_a_quarantine_that_cannot_be_written_is_an_error(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataReadError, match="Cannot write rows"):
        check(data, suite_of(UNIQUE), quarantine_path=tmp_path / "file" / "bad.parquet")


def test_a_suite_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"expectations": []}')
    assert load_suite(path).name == "mine"


@pytest.mark.slow
def test_the_rest_goes_to_great_expectations_on_the_same_data(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("great_expectations")
    parseable = expect("column_values_to_be_json_parseable", "warning", column="place")
    ahead = expect("column_values_to_match_regex", column="place", regex="^(?!jfk)")
    quantile = expect(
        "column_quantile_values_to_be_between",
        column="id",
        quantile_ranges={"quantiles": [0.5], "value_ranges": [[2, 2]]},
        allow_relative_error="lower",
    )
    result = check(
        data,
        suite_of(UNIQUE, parseable, ahead, quantile),
        quarantine_path=tmp_path / "bad.parquet",
    )
    by_type = {r.expectation.type: r for r in result.report.results}
    assert [r.engine for r in result.report.results] == ["compiled", *["great_expectations"] * 3]
    assert by_type[ahead["type"]].reason == "assert not is unknown to RE2"
    assert by_type[quantile["type"]].success is True
    assert result.report.engine == "mixed"
    assert result.quarantine is not None
    assert sorted((row[0], len(row[-1])) for row in rows_of(result.quarantine.path)) == [
        (1, 1),
        (2, 2),
        (2, 2),
        (4, 2),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expectation", "said"),
    [
        (expect("column_values_to_be_nul", column="id"), "expect_column_values_to_be_null"),
        (expect("column_values_to_be_of_type", column="id", type_=[3]), "refused"),
        (expect("column_values_to_be_between", column="place", min_value=1), "evaluated"),
    ],
)
def test_what_great_expectations_cannot_do_is_an_error_too(
    data: Path, expectation: dict[str, Any], said: str
) -> None:
    pytest.importorskip("great_expectations")
    with pytest.raises(SuiteError, match=said):
        check(data, suite_of(THERE, expectation))


@pytest.mark.slow
def test_a_pattern_that_runs_forever_in_the_reference_is_stopped(tmp_path: Path) -> None:
    pytest.importorskip("great_expectations")
    path = tmp_path / "a.csv"
    path.write_text("a\n" + "a" * 60 + "!\n")
    forever = expect("column_values_to_match_regex", column="a", regex="^(?=(a+)+$)")
    with pytest.raises(QualityError, match=r"longer than 2 seconds for expect_column_values_to_m"):
        check(path, suite_of(forever), time_limit=2)


def test_a_partitioned_folder_is_one_data_set(tmp_path: Path) -> None:
    for month in (1, 2):
        (tmp_path / f"month={month}").mkdir()
        target = tmp_path / f"month={month}" / "part.parquet"
        duckdb.sql(f"COPY (SELECT {month} AS id) TO '{target}' (FORMAT parquet)")
    months = expect("column_distinct_values_to_equal_set", column="month", value_set=[1, 2])
    result = check(tmp_path, suite_of(UNIQUE, months), engine="compiled")
    assert (result.success, result.data.files, result.data.rows) == (True, 2, 2)
    assert result.data.modified is not None


def test_a_suite_of_more_than_a_thousand_expectations_is_judged(data: Path) -> None:
    entries = [expect("column_values_to_be_between", column="id", max_value=n) for n in range(1500)]
    results = check(data, suite_of(*entries), engine="compiled").report.results
    assert [r.success for r in results] == [n >= 4 for n in range(1500)]
