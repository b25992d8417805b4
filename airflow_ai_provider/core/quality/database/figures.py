"""Expectations on one figure of a table's column: extremes, sums, how many distinct values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.quality.check import SHOWN, Facts, NotCompiledError, Outcome
from airflow_ai_provider.core.quality.database.check import (
    Compile,
    Expression,
    Rows,
    TableCheck,
    TableColumn,
    TableSchema,
    refuse_missing,
)
from airflow_ai_provider.core.quality.limits import bound, time_bound
from airflow_ai_provider.core.quality.suite import Expectation

_CLOSE = 1e-9  # closer to a bound than this, the order of adding up could decide
_TEXTS = ("VARCHAR", "CHAR", "TEXT", "STRING", "NVARCHAR", "NCHAR", "CLOB", "BOOL", "UUID", "JSON")


def named(e: Expectation, schema: TableSchema, *, numbers: bool = False) -> TableColumn:
    """Return the column of ``e``.

    :raises NotCompiledError: a number is needed, and its type has no figures.
    """
    column = schema.column(e, e.kwargs["column"])
    if numbers and (column.type or "").upper().startswith(_TEXTS):
        raise NotCompiledError(f"column {column.name} is {column.type}, which has no such figure")
    return column


def plain(value: Any) -> Any:
    """Return a database's value as the reference takes it: decimals as floats."""
    return float(value) if isinstance(value, Decimal) else value


def between(e: Expectation, value: Any) -> Outcome:
    """Judge a figure by the bounds; a missing one does not meet them.

    :raises NotCompiledError: figure and bound cannot be compared as the reference would.
    """
    value = plain(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Outcome(success=False, result={"observed_value": None})
    success = True
    for name, strict in (("min_value", "strict_min"), ("max_value", "strict_max")):
        limit = time_bound(e.kwargs, name)
        if limit is None:
            continue
        if not _comparable(value, limit):
            return Outcome(unsure=f"the figure is a {type(value).__name__}, its bound is not")
        above = value > limit if name == "min_value" else value < limit
        success = success and bool(above or (value == limit and not e.kwargs.get(strict)))
    return Outcome(success=success, result={"observed_value": value})


def _comparable(value: Any, limit: Any) -> bool:
    if isinstance(limit, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is type(limit) is date


def _figure(
    e: Expectation, column: TableColumn, rows: Rows, kind: str, figure: Expression
) -> TableCheck:
    for name in ("min_value", "max_value"):
        bound(e.kwargs.get(name))
    read = f"{kind}{rows.key} {column.name}"
    return TableCheck(
        expectation=e, reads={read: figure}, judge=lambda f: between(e, f[read]), rows=rows
    )


def column_max(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The largest value lies within the bounds."""
    column = named(e, schema, numbers=True)
    return _figure(e, column, rows, "max", sa.func.max(rows.of(column.sql)))


def column_min(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The smallest value lies within the bounds."""
    column = named(e, schema, numbers=True)
    return _figure(e, column, rows, "min", sa.func.min(rows.of(column.sql)))


def steadied(e: Expectation, schema: TableSchema, kind: str, value: Any) -> Outcome | None:
    """Return that the figure cannot decide, where it lies at a bound and is not steady.

    Where a database adds floats up in no fixed order, the last digits differ from one look to the
    next.
    """
    if schema.dialect.steady or not isinstance(value, float) or not math.isfinite(value):
        return None
    for limit in (bound(e.kwargs.get(name)) for name in ("min_value", "max_value")):
        if isinstance(limit, float) and abs(value - limit) <= _CLOSE * max(abs(value), abs(limit)):
            return Outcome(unsure=f"the {kind} is too close to its bound")
    return None


def _summed(
    e: Expectation, schema: TableSchema, rows: Rows, kind: str, figure: Expression
) -> TableCheck:
    """Return the check of a figure over many values."""
    check = _figure(e, named(e, schema, numbers=True), rows, kind, figure)
    [read] = check.reads

    def judge(facts: Facts) -> Outcome:
        return steadied(e, schema, kind, facts[read]) or between(e, facts[read])

    return TableCheck(expectation=e, reads=check.reads, judge=judge, rows=rows)


def column_mean(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The mean lies within the bounds."""
    column = named(e, schema)
    return _summed(e, schema, rows, "mean", sa.func.avg(1.0 * rows.of(column.sql)))


def column_sum(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The sum lies within the bounds; of nothing there is none."""
    column = named(e, schema)
    return _summed(e, schema, rows, "sum", sa.func.sum(rows.of(column.sql)))


def _present(column: TableColumn, rows: Rows) -> tuple[str, Expression]:
    return f"present{rows.key} {column.name}", sa.func.count(rows.of(column.sql))


def distinct_read(column: TableColumn, rows: Rows) -> tuple[str, Expression]:
    """Return the read that counts a column's distinct values."""
    counted = sa.func.count(sa.distinct(rows.of(column.sql)))
    return f"distinct{rows.key} {column.name}", counted


def unique_count(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """There are as many distinct values as the bounds say."""
    read, counted = distinct_read(named(e, schema), rows)
    return TableCheck(
        expectation=e, reads={read: counted}, judge=lambda f: between(e, int(f[read])), rows=rows
    )


def unique_share(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """Distinct values over present values lies within the bounds; of nothing it is 0."""
    column = named(e, schema)
    (read, distinct), (there, present) = distinct_read(column, rows), _present(column, rows)

    def judge(facts: Facts) -> Outcome:
        return between(e, int(facts[read]) / int(facts[there]) if facts[there] else 0)

    return TableCheck(expectation=e, reads={read: distinct, there: present}, judge=judge, rows=rows)


def present_share(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """Present values over rows lies within the bounds; of no rows it is 0."""
    read, present = _present(named(e, schema), rows)

    def judge(facts: Facts) -> Outcome:
        total = rows.total(facts)
        return between(e, int(facts[read]) / total if total else 0)

    return TableCheck(expectation=e, reads={**rows.count, read: present}, judge=judge, rows=rows)


def _set_for_sql(e: Expectation) -> list[Any]:
    """Return the set as the reference binds it: the text of a day is a date."""
    values = list(e.kwargs["value_set"])
    refuse_missing(values)
    found = []
    for value in values:
        if isinstance(value, str) and len(value) == 10:
            try:
                found.append(date.fromisoformat(value))
                continue
            except ValueError:
                pass
        found.append(value)
    return found


def _distinct(
    e: Expectation, schema: TableSchema, rows: Rows, *, outside: bool, absent: bool
) -> TableCheck:
    """Return the check that no distinct value is outside the set, or absent from it, or either."""
    column, values = named(e, schema), _set_for_sql(e)
    if not values:
        raise NotCompiledError("the set is empty")
    if len(values) > schema.dialect.most_values:
        raise NotCompiledError(f"the set has more than {schema.dialect.most_values} values")
    strays, found = f"strays {e.index}", f"found {e.index}"
    inside, beyond = column.sql.in_(values), column.sql.not_in(values)

    def distinct(predicate: Expression) -> Expression:
        return sa.func.count(sa.distinct(sa.case((rows.both(predicate), column.sql))))

    reads = {strays: distinct(beyond)} if outside else {}
    if absent:
        reads[found] = distinct(inside)

    def missing(facts: Facts) -> int:
        return len(values) - int(facts[found]) if absent else 0

    def more(facts: Facts) -> Mapping[str, sa.Select[Any]]:
        wanted: dict[str, sa.Select[Any]] = {}
        listed = sa.select(column.sql).select_from(schema.source).distinct()
        if outside and facts[strays]:
            wanted[f"list {strays}"] = listed.where(rows.both(beyond)).limit(SHOWN)
        if missing(facts):
            wanted[f"list {found}"] = listed.where(rows.both(inside))
        return wanted

    def judge(facts: Facts) -> Outcome:
        result: dict[str, Any] = {"observed_value": None}
        if outside:
            result["unexpected_count"] = int(facts[strays])
            shown = [row[0] for row in facts.get(f"list {strays}", ())]
            result["partial_unexpected_list"] = shown
        if absent:
            there = {row[0] for row in facts.get(f"list {found}", ())}
            left = [v for v in values if v not in there] if missing(facts) else []
            result |= {"missing_count": missing(facts), "partial_missing_list": left[:SHOWN]}
        strayed = bool(outside and facts[strays])
        return Outcome(success=not strayed and missing(facts) == 0, result=result)

    return TableCheck(expectation=e, reads=reads, judge=judge, rows=rows, more=more)


def distinct_in_set(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """Every distinct value is one of the set."""
    return _distinct(e, schema, rows, outside=True, absent=False)


def distinct_equal_set(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The distinct values are those of the set."""
    return _distinct(e, schema, rows, outside=True, absent=True)


def distinct_contain_set(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The distinct values include those of the set."""
    return _distinct(e, schema, rows, outside=False, absent=True)


TABLE_FIGURES: dict[str, Compile] = {
    "expect_column_max_to_be_between": column_max,
    "expect_column_min_to_be_between": column_min,
    "expect_column_mean_to_be_between": column_mean,
    "expect_column_sum_to_be_between": column_sum,
    "expect_column_unique_value_count_to_be_between": unique_count,
    "expect_column_proportion_of_unique_values_to_be_between": unique_share,
    "expect_column_proportion_of_non_null_values_to_be_between": present_share,
    "expect_column_distinct_values_to_be_in_set": distinct_in_set,
    "expect_column_distinct_values_to_equal_set": distinct_equal_set,
    "expect_column_distinct_values_to_contain_set": distinct_contain_set,
}
