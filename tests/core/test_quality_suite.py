"""Reading suites: every shape that users have, and errors that name what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import SuiteError
from airflow_ai_provider.core.quality.catalogue import CATALOGUE
from airflow_ai_provider.core.quality.suite import Severity, parse_suite

NOT_NULL = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "id"}}


def suite_of(*expectations: Any, **fields: Any) -> dict[str, Any]:
    return {"name": "orders", "expectations": list(expectations), **fields}


def test_1x_json_is_read_with_severity_and_meta() -> None:
    entry = NOT_NULL | {"severity": "warning", "meta": {"notes": "why"}, "id": "abc"}
    suite = parse_suite(json.dumps(suite_of(entry)))
    [expectation] = suite.expectations
    assert (suite.name, expectation.severity) == ("orders", Severity.WARNING)
    assert expectation.label == "expect_column_values_to_not_be_null(id)"
    assert expectation.config() == entry


def test_018_json_is_read() -> None:
    suite = parse_suite(
        {
            "expectation_suite_name": "old",
            "ge_cloud_id": None,
            "data_asset_type": None,
            "expectations": [
                {
                    "expectation_type": "expect_column_values_to_be_between",
                    "kwargs": {
                        "column": "amount",
                        "min_value": 0,
                        "max_value": None,
                        "mostly": None,
                        "result_format": "BASIC",
                        "catch_exceptions": False,
                    },
                    "meta": {"severity": "info"},
                }
            ],
            "meta": {"great_expectations_version": "0.18.21"},
        }
    )
    [expectation] = suite.expectations
    assert suite.name == "old"
    assert expectation.kwargs == {"column": "amount", "min_value": 0}
    assert expectation.severity is Severity.INFO


def test_severity_is_critical_unless_said() -> None:
    assert parse_suite(suite_of(NOT_NULL)).expectations[0].severity is Severity.CRITICAL


def test_parameters_are_filled_in() -> None:
    entry = {"type": "expect_table_row_count_to_equal", "kwargs": {"value": {"$PARAMETER": "n"}}}
    assert parse_suite(suite_of(entry), parameters={"n": 3}).expectations[0].kwargs["value"] == 3
    own = suite_of(entry, suite_parameters={"n": 4})
    assert parse_suite(own).expectations[0].kwargs["value"] == 4
    assert parse_suite(own, parameters={"n": 5}).expectations[0].kwargs["value"] == 5


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"kwargs": {}}, "names no type"),
        ("text", "is not an object"),
        (NOT_NULL | {"severity": "fatal"}, "has the severity 'fatal'"),
        (NOT_NULL | {"kwargs": {}}, "lacks the argument 'column'"),
        (NOT_NULL | {"kwargs": {"column": 3}}, "has the column 3"),
        (NOT_NULL | {"kwargs": {"column": "id", "mostley": 0.9}}, "Did you mean 'mostly'"),
        (NOT_NULL | {"kwargs": {"column": "id", "mostly": 90}}, "has mostly=90"),
        (NOT_NULL | {"kwargs": {"column": {"$PARAMETER": "c"}}}, "needs the parameter 'c'"),
        (
            {
                "type": "expect_column_values_to_match_regex",
                "kwargs": {"column": "a", "regex": "("},
            },
            "which is none",
        ),
        (
            {"type": "expect_column_values_to_be_between", "kwargs": {"column": "a"}},
            "neither min_value nor max_value",
        ),
        (
            {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": "some"}},
            "min_value='some'",
        ),
        (
            {
                "type": "expect_table_row_count_to_be_between",
                "kwargs": {"min_value": 3, "max_value": 2},
            },
            "above max_value",
        ),
        (
            {
                "type": "expect_column_values_to_be_in_set",
                "kwargs": {"column": "a", "value_set": 1},
            },
            "no list",
        ),
        (
            {"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": ["a"]}},
            "fewer than two columns",
        ),
    ],
)
def test_what_means_nothing_is_named(entry: Any, said: str) -> None:
    with pytest.raises(SuiteError, match="Suite orders, expectation 2, ") as raised:
        parse_suite(suite_of(NOT_NULL, entry))
    assert said in str(raised.value)
    assert raised.value.facts["index"] == 1


@pytest.mark.parametrize("source", ["", "{", "[]", "3", '{"name": "x"}', b"\xff"])
def test_what_is_no_suite_is_refused(source: Any) -> None:
    with pytest.raises(SuiteError):
        parse_suite(source)


def test_the_digest_changes_with_the_expectations_only() -> None:
    first = parse_suite(suite_of(NOT_NULL))
    assert parse_suite(json.dumps(suite_of(NOT_NULL))).digest == first.digest
    assert parse_suite(suite_of(NOT_NULL | {"severity": "info"})).digest != first.digest


words = st.sampled_from(
    ["column", "column_list", "column_A", "value_set", "mostly", "min_value", "regex", "$PARAMETER"]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
entries = st.fixed_dictionaries(
    {
        "type": st.sampled_from(sorted(CATALOGUE)) | anything,
        "kwargs": st.dictionaries(words, anything, max_size=3) | anything,
    },
    optional={"severity": anything, "meta": anything},
)


@settings(max_examples=50, deadline=None)
@given(st.lists(entries | anything, max_size=3))
def test_any_json_is_a_suite_or_a_named_error(expectations: list[Any]) -> None:
    named = "no error"
    try:
        suite = parse_suite({"name": "any", "expectations": expectations})
    except SuiteError as error:
        named = str(error)
    else:
        assert all(e.label for e in suite.expectations)
        assert suite.digest
    assert named == "no error" or "Suite any" in named
