"""Expectations on the table: how many rows, which columns."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from airflow_ai_provider.core.quality.check import (
    Check,
    Compile,
    Facts,
    NotCompiledError,
    Outcome,
    Schema,
)
from airflow_ai_provider.core.quality.limits import bounds, met
from airflow_ai_provider.core.quality.suite import Expectation


def row_count_between(e: Expectation, schema: Schema) -> Check:
    """There are as many rows as the bounds say."""
    bounds(e.kwargs)
    read = schema.rows.count
    return Check(expectation=e, reads=(read,), judge=lambda facts: _within(e, facts[read]))


def _within(e: Expectation, value: Any) -> Outcome:
    return Outcome(success=met(value, e.kwargs), result={"observed_value": value})


def row_count_equal(e: Expectation, schema: Schema) -> Check:
    """There are exactly so many rows."""
    read = schema.rows.count

    def judge(facts: Facts) -> Outcome:
        return Outcome(
            success=bool(facts[read] == e.kwargs["value"]),
            result={"observed_value": facts[read]},
        )

    return Check(expectation=e, reads=(read,), judge=judge)


def _settled(e: Expectation, success: bool, result: dict[str, Any]) -> Check:
    outcome = Outcome(success=success, result=result)
    return Check(expectation=e, reads=(), judge=lambda _: outcome)


def column_count_between(e: Expectation, schema: Schema) -> Check:
    """There are as many columns as the bounds say."""
    count = len(schema.columns)
    return _settled(e, met(count, e.kwargs), {"observed_value": count})


def column_count_equal(e: Expectation, schema: Schema) -> Check:
    """There are exactly so many columns."""
    count = len(schema.columns)
    return _settled(e, count == e.kwargs["value"], {"observed_value": count})


def column_exists(e: Expectation, schema: Schema) -> Check:
    """The column is there; at its place when one is given, where 0 means none to the reference."""
    names = [c.name for c in schema.columns]
    wanted, place = e.kwargs["column"], e.kwargs.get("column_index")
    if place is not None and not isinstance(place, int):
        raise NotCompiledError("column_index is no whole number")
    if place:
        return _settled(e, -len(names) <= place < len(names) and names[place] == wanted, {})
    return _settled(e, wanted in names, {})


def columns_match_set(e: Expectation, schema: Schema) -> Check:
    """The columns are these, in any order; others too unless ``exact_match``."""
    there, wanted = {c.name for c in schema.columns}, set(e.kwargs.get("column_set") or [])
    mismatched = {
        name: sorted(found)
        for name, found in (("unexpected", there - wanted), ("missing", wanted - there))
        if found
    }
    result: dict[str, Any] = {"observed_value": sorted(there)}
    if mismatched:
        result["details"] = {"mismatched": mismatched}
    strict = e.kwargs.get("exact_match", True)
    return _settled(e, not (mismatched if strict else wanted - there), result)


def columns_match_list(e: Expectation, schema: Schema) -> Check:
    """The columns are these, in this order."""
    there, wanted = [c.name for c in schema.columns], e.kwargs.get("column_list")
    result: dict[str, Any] = {"observed_value": there}
    if wanted is None or there == list(wanted):
        return _settled(e, True, result)
    result["details"] = {
        "mismatched": [
            {"Expected Column Position": i, "Expected": expected, "Found": found}
            for i, (expected, found) in enumerate(zip_longest(wanted, there))
            if expected != found
        ]
    }
    return _settled(e, False, result)


TABLE_LEVEL: dict[str, Compile] = {
    "expect_table_row_count_to_be_between": row_count_between,
    "expect_table_row_count_to_equal": row_count_equal,
    "expect_table_column_count_to_be_between": column_count_between,
    "expect_table_column_count_to_equal": column_count_equal,
    "expect_table_columns_to_match_set": columns_match_set,
    "expect_table_columns_to_match_ordered_list": columns_match_list,
    "expect_column_to_exist": column_exists,
}
