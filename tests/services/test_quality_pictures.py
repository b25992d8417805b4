"""A picture for each failed expectation: measured where the data is at hand, true to the counts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.cli import main
from airflow_ai_provider.core.quality.page.build import quality_page
from airflow_ai_provider.core.quality.page.pictures import Bars, Histogram, Names, Parts, Shares
from airflow_ai_provider.services.quality import SqlSource, check

BETWEEN = "expect_column_values_to_be_between"


def suite(*expectations: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"name": "s", "expectations": [{"type": t, "kwargs": k} for t, k in expectations]}


def picture_of(data: Any, kind: str, **kwargs: Any) -> Any:
    result = check(data, suite((kind, kwargs)), pictures=True)
    [finding] = quality_page(result).findings
    assert finding.verdict == "fail"
    return finding.picture


@given(
    values=st.lists(
        st.none() | st.floats(width=32, allow_nan=False) | st.integers(-50, 50).map(float),
        min_size=1, max_size=60,
    ),
    low=st.none() | st.integers(-60, 60), width=st.none() | st.integers(0, 60),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_histogram_counts_what_the_result_counts(
    values: list[float | None], low: int | None, width: int | None
) -> None:
    high = None if width is None else (low or 0) + width
    limits = {k: v for k, v in (("min_value", low), ("max_value", high)) if v is not None}
    if not limits:
        return
    frame = pd.DataFrame({"x": pd.array(values, dtype="Float64").astype("float64")})
    result = check(frame, suite((BETWEEN, {"column": "x", **limits})), pictures=True)
    [one] = result.report.results
    if one.success:
        assert one.picture is None
        return
    if not isinstance(one.picture, Histogram):  # numbers that cannot be put side by side
        assert any(v is not None and abs(v) > 1e15 for v in values) or all(
            v is None or math.isinf(v) for v in values
        )
        return
    there = [v for v in values if v is not None]
    assert sum(one.picture.met) + sum(one.picture.failed) == len(there)
    assert sum(one.picture.failed) == one.result["unexpected_count"]


def test_one_far_value_does_not_squeeze_the_others() -> None:
    frame = pd.DataFrame({"x": [*(float(i) for i in range(1000)), 1e9]})
    found = picture_of(frame, BETWEEN, column="x", max_value=900)
    assert found.edges[-1] < 2_000
    assert found.above == 1e9
    assert found.below is None
    assert sum(found.failed) == 100


def test_a_limit_that_nothing_is_near_is_not_drawn_far_away() -> None:
    frame = pd.DataFrame({"x": [float(i) for i in range(100)]})
    found = picture_of(frame, BETWEEN, column="x", min_value=50, max_value=1e9)
    assert found.edges[-1] < 200
    assert (found.low, found.high) == (50, 1e9)


def test_whole_numbers_stand_in_bars_of_whole_numbers() -> None:
    frame = pd.DataFrame({"x": [1, 2, 2, 3, 9]})
    found = picture_of(frame, BETWEEN, column="x", max_value=3)
    assert found.edges[0] == 0.5
    assert found.edges[1] - found.edges[0] == 1
    assert found.met[:3] == (1, 2, 1)
    assert found.failed[-1] == 1


def test_times_and_lengths_have_their_own_words(tmp_path: Path) -> None:
    file = tmp_path / "d.parquet"
    duckdb.sql(
        "COPY (SELECT TIMESTAMP '2026-01-01' + INTERVAL (i) HOUR AS t, repeat('x', i) AS s "
        f"FROM range(1, 90) r(i)) TO '{file}'"
    )
    when = picture_of(str(file), BETWEEN, column="t", max_value="2026-01-03 00:00:00")
    assert when.unit == "time"
    assert when.high == pd.Timestamp("2026-01-03").timestamp()
    long = picture_of(
        str(file), "expect_column_value_lengths_to_be_between", column="s", max_value=80
    )
    assert (long.unit, sum(long.failed)) == ("length", 9)


def test_values_that_fail_are_named_with_how_often() -> None:
    frame = pd.DataFrame({"c": ["a"] * 5 + ["x"] * 3 + ["y"] * 2 + [f"z{i}" for i in range(20)]})
    found = picture_of(frame, "expect_column_values_to_be_in_set", column="c", value_set=["a"])
    assert found.bars[:2] == (("x", 3), ("y", 2))
    assert (found.more, found.rows) == (10, 10)
    twice = picture_of(frame, "expect_column_values_to_be_unique", column="c")
    assert twice == Bars(bars=(("a", 5), ("x", 3), ("y", 2)))
    outside = picture_of(
        frame, "expect_column_distinct_values_to_be_in_set", column="c", value_set=["a", "x"]
    )
    assert outside.bars[0] == ("y", 2)


def test_values_that_come_once_each_are_only_counted() -> None:
    frame = pd.DataFrame({"c": ["a", "x", "y", None]})
    found = picture_of(frame, "expect_column_values_to_be_in_set", column="c", value_set=["a"])
    assert found == Parts(
        parts=(("as expected", 1, "met"), ("missing", 1, "missing"), ("unexpected", 2, "failed"))
    )


def test_only_the_rows_that_an_expectation_is_about_are_shown() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 30.0, 40.0], "k": ["a", "a", "a", "b"]})
    about = {"row_condition": 'k == "a"', "condition_parser": "pandas"}
    found = picture_of(frame, BETWEEN, column="x", max_value=10, **about)
    assert (sum(found.met), sum(found.failed)) == (2, 1)


def test_missing_values_are_a_part_of_the_whole() -> None:
    frame = pd.DataFrame({"x": [1.0, None, None]})
    found = picture_of(frame, "expect_column_values_to_not_be_null", column="x")
    assert found == Parts(parts=(("present", 1, "met"), ("missing", 2, "failed")))


def test_drift_in_a_suite_has_the_reference_beside_now(tmp_path: Path) -> None:
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    old.write_text("x\n" + "\n".join(str(i) for i in range(200)))
    new.write_text("x\n" + "\n".join(str(i + 500) for i in range(200)))
    found = picture_of(
        str(new), "expect_column_drift_to_be_less_than", column="x", reference=str(old)
    )
    assert isinstance(found, Shares)
    assert len(found.labels) == len(found.now) + 1


def test_every_failure_of_files_and_frames_has_a_picture() -> None:
    frame = pd.DataFrame({"id": [1, 1, 2], "c": ["a", None, "b"], "x": [1.5, -1.0, 9.0]})
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("expect_column_values_to_be_unique", {"column": "id"}),
        ("expect_column_values_to_not_be_null", {"column": "c"}),
        ("expect_column_values_to_be_null", {"column": "x"}),
        ("expect_column_values_to_match_regex", {"column": "c", "regex": "^a"}),
        (BETWEEN, {"column": "x", "min_value": 0}),
        ("expect_column_max_to_be_between", {"column": "x", "max_value": 1}),
        ("expect_column_distinct_values_to_equal_set", {"column": "c", "value_set": ["a", "q"]}),
        ("expect_column_most_common_value_to_be_in_set", {"column": "id", "value_set": [7]}),
        ("expect_column_pair_values_to_be_equal", {"column_A": "id", "column_B": "x"}),
        ("expect_compound_columns_to_be_unique", {"column_list": ["id"] * 2}),
        ("expect_column_values_to_be_of_type", {"column": "c", "type_": "int64"}),
        ("expect_table_row_count_to_equal", {"value": 4}),
        ("expect_table_column_count_to_equal", {"value": 4}),
        ("expect_table_columns_to_match_set", {"column_set": ["id"]}),
        ("expect_column_to_exist", {"column": "gone"}),
        ("expect_column_values_to_be_increasing", {"column": "x"}),
        ("expect_multicolumn_sum_to_equal", {"column_list": ["id", "x"], "sum_total": 1}),
    ]
    page = quality_page(check(frame, suite(*kinds), pictures=True))
    assert len(page.failed) == len(kinds)
    assert [f.label for f in page.failed if f.picture is None] == []


def test_without_values_no_value_is_on_the_page() -> None:
    frame = pd.DataFrame({"c": ["secret-1", "secret-2", "secret-2"]})
    listed = suite(
        ("expect_column_values_to_be_in_set", {"column": "c", "value_set": ["a"]}),
        ("expect_column_values_to_be_unique", {"column": "c"}),
    )
    result = check(frame, listed, pictures=True)
    assert "secret" in str(quality_page(result))
    assert "secret" not in str(quality_page(result, values=False))


def test_of_personal_data_only_kinds_and_counts_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("id,mail\n" + "\n".join(f"{i},anna.secret{i}@example.org" for i in range(9)))
    page = quality_page(check(str(file), "airflow-ai:personal_data", pictures=True))
    [finding] = page.failed
    assert finding.picture == Bars(bars=(("mail: email", 9),))
    assert "secret" not in str(page)


def test_a_table_is_not_read_again_for_its_pictures(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "d.db") as connection:
        connection.execute("CREATE TABLE t (x REAL, c TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(-2.0, "a"), (-2.0, None)])
    source = SqlSource(url=f"sqlite:///{tmp_path / 'd.db'}", table="t")
    listed = suite(
        (BETWEEN, {"column": "x", "min_value": 0}),
        ("expect_column_values_to_not_be_null", {"column": "c"}),
        ("expect_table_columns_to_match_set", {"column_set": ["x"]}),
    )
    page = quality_page(check(source, listed, pictures=True))
    assert [type(f.picture) for f in page.findings] == [Bars, Parts, Names]
    assert page.findings[0].picture == Bars(bars=(("-2.0", 2),), sampled=True)


@pytest.fixture
def orders(tmp_path: Path) -> tuple[str, str]:
    data, written = tmp_path / "orders.csv", tmp_path / "suite.json"
    data.write_text("amount,who\n1,<script>alert(1)</script>\n-2,b\n")
    listed = suite(
        (BETWEEN, {"column": "amount", "min_value": 0}),
        ("expect_column_values_to_be_in_set", {"column": "who", "value_set": ["b"]}),
    )
    written.write_text(json.dumps({**listed, "name": "<b>"}))
    return str(data), str(written)


def test_a_person_at_a_terminal_gets_the_page_as_a_file(
    orders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "new" / "report.html"
    assert main(["quality", "check", *orders, "--report", str(page)]) == 1
    assert str(page) in capsys.readouterr().out
    written = page.read_text()
    assert written.startswith("<!doctype html>")
    assert written.count("<figure>") == 2
    assert "&lt;script&gt;alert(1)" in written
    assert "<script" not in written
    assert "<b>" not in written
    assert [p.name for p in page.parent.iterdir()] == ["report.html"]


def test_a_report_that_cannot_be_written_is_no_verdict(
    orders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    taken = str(tmp_path / "file" / "report.html")
    assert main(["quality", "check", *orders, "--report", taken]) == 2
    assert "Cannot write the report" in capsys.readouterr().err
