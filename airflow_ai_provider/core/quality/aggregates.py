"""Expectations on one figure of a column: mean, extremes, how many distinct values."""

from __future__ import annotations

from typing import Any

from airflow_ai_provider.core.quality.check import (
    COUNTABLE,
    SHOWN,
    Check,
    Compile,
    Facts,
    NotCompiledError,
    Outcome,
    Sample,
    Schema,
    exact,
    inexact,
    need,
)
from airflow_ai_provider.core.quality.distinct import distinct_read
from airflow_ai_provider.core.quality.limits import bounds, met, need_bounds_of, value_set_of
from airflow_ai_provider.core.quality.sql import EXACT_INTEGERS, Column, Family, members
from airflow_ai_provider.core.quality.suite import Expectation

_SUMMABLE = 1e150  # beyond it sums and squares overflow, and engines differ
_CLOSE = 1e-9  # closer to a bound than this, the order of summing could decide


def _column(e: Expectation, schema: Schema, *families: Family) -> Column:
    column = schema.column(e, e.kwargs["column"])
    need(column, *families)
    return column


def _figure(
    e: Expectation,
    column: Column,
    read: str,
    *,
    guarded: bool = True,
) -> Check:
    """Return the check of a figure that no order of summing changes."""
    watched = [column] if guarded else []

    def judge(facts: Facts) -> Outcome:
        if why := inexact(facts, watched):
            return Outcome(unsure=why)
        return _between(e, facts[read])

    return Check(expectation=e, reads=(read, *exact(watched)), judge=judge)


def _between(e: Expectation, value: Any) -> Outcome:
    if value is None:
        return Outcome(success=False, result={"observed_value": None})
    return Outcome(success=met(value, e.kwargs), result={"observed_value": value})


def _extreme(e: Expectation, schema: Schema, function: str) -> Check:
    families = (Family.INTEGER, Family.FLOAT, Family.DECIMAL, Family.DATE, Family.TIMESTAMP)
    column = _column(e, schema, *families)
    if "ZONE" in column.type.upper():
        raise NotCompiledError(f"column {column.name} is {column.type}")
    need_bounds_of(column, e.kwargs)
    return _figure(e, column, f"{function}({schema.rows.of(column.sql)})")


def column_max(e: Expectation, schema: Schema) -> Check:
    """The largest value lies within the bounds."""
    return _extreme(e, schema, "max")


def column_min(e: Expectation, schema: Schema) -> Check:
    """The smallest value lies within the bounds."""
    return _extreme(e, schema, "min")


def _summed(e: Expectation, schema: Schema, function: str, *, of_nothing: float | None) -> Check:
    """Return the check of a figure over many values.

    Engines sum in different orders, so the last digits differ: where that could decide, or where a
    value is infinite, Great Expectations' own engine decides.
    """
    column = _column(e, schema, Family.INTEGER, Family.FLOAT)
    low, high = bounds(e.kwargs)
    rows, value = schema.rows, schema.rows.of(column.sql)
    usable = f"abs({column.sql}::DOUBLE) < {_SUMMABLE!r}"  # DuckDB refuses to spread infinity
    read = f"{function}({rows.of(column.sql, usable) if function == 'stddev_samp' else value})"
    largest, present = f"max(abs({value}::DOUBLE))", f"count({value})"

    def judge(facts: Facts) -> Outcome:
        if facts[largest] is not None and not facts[largest] < _SUMMABLE:
            return Outcome(unsure=f"column {column.name} holds infinite or huge values")
        if why := inexact(facts, [column]):
            return Outcome(unsure=why)
        value = of_nothing if facts[read] is None else facts[read]
        if value is not None and not _certain(column, function, facts[largest], facts[present]):
            scale = facts[largest] * (facts[present] if function == "sum" else 1)
            room = _CLOSE * max(abs(value), scale)
            if any(b is not None and abs(value - b) <= room for b in (low, high)):
                return Outcome(unsure=f"the {function} is too close to its bound")
        return _between(e, value)

    return Check(expectation=e, reads=(read, largest, present, *exact([column])), judge=judge)


def _certain(column: Column, function: str, largest: float | None, present: int) -> bool:
    """Return whether every order of summing gives the same figure."""
    if not largest:
        return True
    whole = column.family is Family.INTEGER and function != "stddev_samp"
    return whole and largest * present < EXACT_INTEGERS


def column_mean(e: Expectation, schema: Schema) -> Check:
    """The mean lies within the bounds."""
    return _summed(e, schema, "avg", of_nothing=None)


def column_sum(e: Expectation, schema: Schema) -> Check:
    """The sum lies within the bounds; of nothing it is 0."""
    return _summed(e, schema, "sum", of_nothing=0)


def column_stdev(e: Expectation, schema: Schema) -> Check:
    """The sample standard deviation lies within the bounds."""
    return _summed(e, schema, "stddev_samp", of_nothing=None)


def column_median(e: Expectation, schema: Schema) -> Check:
    """The median lies within the bounds."""
    return _summed(e, schema, "median", of_nothing=None)


def unique_count(e: Expectation, schema: Schema) -> Check:
    """There are as many distinct values as the bounds say."""
    column = _column(e, schema, *COUNTABLE)
    bounds(e.kwargs)
    return _figure(e, column, distinct_read(schema, column))


def unique_share(e: Expectation, schema: Schema) -> Check:
    """Distinct values over present values lies within the bounds; of nothing it is 0."""
    column = _column(e, schema, *COUNTABLE)
    bounds(e.kwargs)
    value = schema.rows.of(column.sql)
    distinct, present = distinct_read(schema, column), f"count({value})"

    def judge(facts: Facts) -> Outcome:
        if why := inexact(facts, [column]):
            return Outcome(unsure=why)
        return _between(e, facts[distinct] / facts[present] if facts[present] else 0)

    return Check(expectation=e, reads=(distinct, present, *exact([column])), judge=judge)


def present_share(e: Expectation, schema: Schema) -> Check:
    """Present values over rows lies within the bounds; of no rows it is 0."""
    column = schema.column(e, e.kwargs["column"])
    bounds(e.kwargs)
    total, present = schema.rows.count, f"count({schema.rows.of(column.sql)})"
    return Check(
        expectation=e,
        reads=(total, present),
        judge=lambda facts: _between(e, facts[present] / facts[total] if facts[total] else 0),
    )


def _distinct(e: Expectation, schema: Schema, *, outside: bool, absent: bool) -> Check:
    """Return the check that no distinct value is outside the set, or absent from it, or either."""
    column = schema.column(e, e.kwargs["column"])
    values = value_set_of(e, column)
    if outside and not values:
        raise NotCompiledError("the set is empty")
    inside = members(column.sql, values)
    strays = f"count(DISTINCT {schema.rows.of(column.sql, f'NOT ({inside})')})"
    found = f"list(DISTINCT {schema.rows.of(column.sql, inside)})"

    def judge(facts: Facts) -> Outcome:
        if why := inexact(facts, [column]):
            return Outcome(unsure=why)
        missing = sorted(set(values) - set(facts[found] or []) - {None}, key=repr)
        result: dict[str, Any] = {"observed_value": None}
        if outside:
            result["unexpected_count"] = facts[strays]
        if absent:
            result |= {"missing_count": len(missing), "partial_missing_list": missing[:SHOWN]}
        success = not (outside and facts[strays]) and not (absent and missing)
        return Outcome(success=success, result=result)

    return Check(
        expectation=e,
        reads=(strays, found, *exact([column])),
        judge=judge,
        shown=(column,),
        sample=Sample.NONE,
    )


def distinct_in_set(e: Expectation, schema: Schema) -> Check:
    """Every distinct value is one of the set."""
    return _distinct(e, schema, outside=True, absent=False)


def distinct_equal_set(e: Expectation, schema: Schema) -> Check:
    """The distinct values are those of the set."""
    return _distinct(e, schema, outside=True, absent=True)


def distinct_contain_set(e: Expectation, schema: Schema) -> Check:
    """The distinct values include those of the set."""
    return _distinct(e, schema, outside=False, absent=True)


COLUMN_LEVEL: dict[str, Compile] = {
    "expect_column_max_to_be_between": column_max,
    "expect_column_min_to_be_between": column_min,
    "expect_column_mean_to_be_between": column_mean,
    "expect_column_sum_to_be_between": column_sum,
    "expect_column_stdev_to_be_between": column_stdev,
    "expect_column_median_to_be_between": column_median,
    "expect_column_unique_value_count_to_be_between": unique_count,
    "expect_column_proportion_of_unique_values_to_be_between": unique_share,
    "expect_column_proportion_of_non_null_values_to_be_between": present_share,
    "expect_column_distinct_values_to_be_in_set": distinct_in_set,
    "expect_column_distinct_values_to_equal_set": distinct_equal_set,
    "expect_column_distinct_values_to_contain_set": distinct_contain_set,
}
