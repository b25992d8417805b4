"""What is wrong with a suite shows before any data is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_ai_provider.core.errors import SuiteError
from airflow_ai_provider.services.quality import check


def suite_of(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"name": "orders", "expectations": [{"type": f"expect_{kind}", "kwargs": kwargs}]}


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Twenty megabytes that do not compress."""
    path = tmp_path / "large.parquet"
    duckdb.sql(
        f"COPY (SELECT range AS id, random() AS x, random() AS y FROM range(1000000)) TO '{path}'"
    )
    small = tmp_path / "small.csv"
    small.write_text("id\n1\n")
    check(small, suite_of("column_values_to_be_unique", column="id"))  # reads modules as well
    return path


def bytes_read() -> int:
    told = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(told["rchar"])


@pytest.mark.parametrize(
    ("suite", "said"),
    [
        (
            suite_of("column_values_to_be_unique", column="idd"),
            r"Suite orders, expectation 1, expect_column_values_to_be_unique\(idd\): it looks at "
            r"the column 'idd', which the data does not have. The data has id, x, y",
        ),
        (
            suite_of("column_pair_values_to_be_equal", column_A="id", column_B="z"),
            r"equal\(id, z\): it looks at the column 'z'",
        ),
        (
            suite_of("column_newest_value_to_be_recent", column="day", max_age="1d"),
            r"recent\(day\): it looks at the column 'day'",
        ),
        (
            suite_of("column_values_to_be_between", column="id", min_valeu=1),
            r"between\(id\): it does not take the argument 'min_valeu'. Did you mean 'min_value'",
        ),
        (
            suite_of("column_values_to_match_regex", column="id", regex="("),
            r"regex\(id\): it has the regular expression '\(', which is none",
        ),
    ],
)
def test_it_names_suite_expectation_and_column_and_reads_no_data(
    large: Path, suite: dict[str, Any], said: str
) -> None:
    assert large.stat().st_size > 10_000_000
    before = bytes_read()
    with pytest.raises(SuiteError, match=said):
        check(large, suite, engine="compiled")
    assert bytes_read() - before < 1_000_000


def test_reading_would_have_shown(large: Path) -> None:
    before = bytes_read()
    check(large, suite_of("column_values_to_be_unique", column="id"), engine="compiled")
    assert bytes_read() - before > large.stat().st_size


@pytest.mark.slow
def test_an_expectation_that_nobody_knows_shows_even_before_the_file_is_looked_for() -> None:
    with pytest.raises(SuiteError, match="expect_column_values_to_be_uniqe"):
        check("/no/such/file.parquet", suite_of("column_values_to_be_uniqe", column="a"))
    with pytest.raises(SuiteError, match="cannot be decided by the compiled engine"):
        check(
            "/no/such/file.parquet",
            suite_of("column_values_to_be_uniqe", column="a"),
            engine="compiled",
        )


@pytest.mark.slow
def test_a_custom_expectation_that_was_imported_is_known(tmp_path: Path) -> None:
    from great_expectations.expectations import ExpectColumnValuesToBeInSet

    class ExpectColumnValuesToBeWeekdays(ExpectColumnValuesToBeInSet):
        """One of the user's own."""

        value_set: list[str] = ["mon", "tue"]

    path = tmp_path / "days.csv"
    path.write_text("day\nmon\nsun\n")
    suite = suite_of("column_values_to_be_weekdays", column="day")
    [found] = check(path, suite).report.results
    assert (found.success, found.engine) == (False, "great_expectations")
    assert found.reason == "it is a custom expectation"
