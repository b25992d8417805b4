"""Suites as users have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.core.errors import SuiteError
from airflow_ai_provider.services.sql_address import sql_address
from airflow_ai_provider.services.suites import load_suite

ONE = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "id"}}
NEW = {"name": "new", "expectations": [ONE]}
OLD = {
    "expectation_suite_name": "old",
    "data_asset_type": "Dataset",
    "expectations": [
        {
            "expectation_type": "expect_column_values_to_be_between",
            "kwargs": {
                "column": "day",
                "min_value": "2020-01-01",
                "parse_strings_as_datetimes": True,
                "result_format": "SUMMARY",
            },
            "meta": {"severity": "warning"},
        },
        {
            "expectation_type": "expect_column_max_to_be_between",
            "kwargs": {"column": "id", "max_value": 3, "parse_strings_as_datetimes": False},
        },
    ],
    "meta": {"great_expectations_version": "0.18.19"},
}


def test_a_suite_of_018_is_read() -> None:
    suite = load_suite(OLD)
    assert suite.name == "old"
    assert suite.expectations[0].severity.value == "warning"
    assert suite.expectations[0].kwargs["parse_strings_as_datetimes"] is True
    assert "parse_strings_as_datetimes" not in suite.expectations[1].kwargs


def older(wanted: dict[str, Any], **document: Any) -> dict[str, Any]:
    entry = {
        "expectation_type": "expect_table_row_count_to_equal",
        "kwargs": {"value": wanted, "catch_exceptions": True, "include_config": True},
    }
    return {"expectation_suite_name": "old", "expectations": [entry], **document}


@pytest.mark.parametrize(
    ("suite", "given", "value"),
    [
        (older({"$PARAMETER": "n", "$PARAMETER.n": 3}), {}, 3),
        (older({"$PARAMETER": "n", "$PARAMETER.n": 3}), {"n": 4}, 4),
        (older({"$PARAMETER": "n"}, evaluation_parameters={"n": 5}), {}, 5),
        (older({"$PARAMETER": "n"}, evaluation_parameters={"n": 5}), {"n": 6}, 6),
    ],
)
def test_the_parameters_of_018_are_filled_in(
    suite: dict[str, Any], given: dict[str, int], value: int
) -> None:
    [one] = load_suite(suite, suite_parameters=given).expectations
    assert one.kwargs == {"value": value}


def test_an_expression_of_018_is_named() -> None:
    with pytest.raises(SuiteError, match=r"Suite old, expectation 1.*the parameter 'n \* 2'"):
        load_suite(older({"$PARAMETER": "n * 2"}), suite_parameters={"n": 1})


@pytest.mark.parametrize("make", [lambda: NEW, lambda: load_suite(NEW)])
def test_a_callable_gives_a_suite(make: Any) -> None:
    assert load_suite(make).name == "new"


def test_several_suites_become_one_that_knows_whose_each_is(tmp_path: Path) -> None:
    path = tmp_path / "third.json"
    path.write_text('{"expectations": []}')
    suite = load_suite([NEW, OLD, path])
    assert suite.name == "new + old + third"
    assert [(e.index, e.suite) for e in suite.expectations] == [(0, "new"), (1, "old"), (2, "old")]
    error = suite.error(suite.expectations[2], "is wrong")
    assert "Suite old, expectation 3, expect_column_max_to_be_between(id)" in str(error)


def fails() -> None:
    raise ValueError("no network")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (fails, "callable fails failed: ValueError: no network"),
        (lambda: fails, "returns a callable"),
        (3, "cannot be a int"),
        ([], "cannot be a list"),
    ],
)
def test_what_is_no_suite_is_refused(given: Any, said: str) -> None:
    with pytest.raises(SuiteError, match=said):
        load_suite(given)


@pytest.mark.slow
def test_great_expectations_own_suite_is_read() -> None:
    import great_expectations as gx
    from great_expectations.expectations import ExpectColumnValuesToBeBetween as Between

    given = gx.ExpectationSuite(name="own")
    given.expectations.append(Between(column="id", min_value=1, mostly=0.9, severity="warning"))
    suite = load_suite(given)
    [one] = suite.expectations
    assert (suite.name, one.type) == ("own", "expect_column_values_to_be_between")
    assert (one.kwargs["mostly"], one.severity.value) == (0.9, "warning")


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"kind": "sqlite", "host": "/tmp/a.db"}, "sqlite:////tmp/a.db"),
        (
            {"kind": "postgres", "host": "h", "port": 5, "user": "u", "password": "p@s$"},
            "postgresql+psycopg://u:p%40s%24@h:5/d",
        ),
        (
            {"kind": "postgres", "extra": {"driver": "postgresql+psycopg2", "sslmode": "require"}},
            "postgresql+psycopg2:///d?sslmode=require",
        ),
        ({"kind": "anything", "extra": {"url": "duckdb:///x"}}, "duckdb:///x"),
        ({"kind": "anything"}, None),
    ],
)
def test_a_connection_becomes_a_url(fields: dict[str, Any], url: str | None) -> None:
    empty = {"host": None, "port": None, "database": "d", "user": None, "password": None}
    assert sql_address(**{**empty, "extra": {}, **fields}) == url
