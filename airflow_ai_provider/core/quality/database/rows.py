"""Row-level expectations on a column of a table: ``mostly`` says how many rows must meet it."""

from __future__ import annotations

from datetime import date
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.quality.check import (
    Facts,
    NotCompiledError,
    Outcome,
    Sample,
    judge_rows,
)
from airflow_ai_provider.core.quality.database.check import (
    Compile,
    Expression,
    Rows,
    TableCheck,
    TableColumn,
    TableSchema,
    refuse_missing,
    row_check,
    unexpected,
)
from airflow_ai_provider.core.quality.limits import bound, time_bound
from airflow_ai_provider.core.quality.suite import Expectation

# Great Expectations refuses bounds on columns whose type is named so.
_UNORDERED = ("VARCHAR", "CHAR", "NVARCHAR", "NCHAR", "TEXT", "STRING", "BOOLEAN", "BOOL", "BIT")


def _map_check(e: Expectation, column: TableColumn, met: Expression, rows: Rows) -> TableCheck:
    """Return the check that every present value of ``column`` meets ``met``.

    The failing ones are those that the reference counts: present, and ``met`` is not true; where
    it is neither true nor false the row is not counted.
    """
    failing = sa.and_(sa.not_(column.sql.is_(None)), sa.not_(met))
    present = (f"present{rows.key} {column.name}", sa.func.count(rows.of(column.sql)))
    return row_check(e, rows, failing, considered=present, shown=[column], sample=Sample.VALUE)


def _missing_check(e: Expectation, schema: TableSchema, rows: Rows, *, wanted: bool) -> TableCheck:
    column = schema.column(e, e.kwargs["column"])
    failing = column.sql.is_not(None) if wanted else column.sql.is_(None)

    def judge(facts: Facts) -> Outcome:
        total, failed = rows.total(facts), int(facts[unexpected(e)])
        return judge_rows(e, total=total, considered=None, unexpected=failed)

    return TableCheck(
        expectation=e,
        reads={**rows.count, unexpected(e): rows.where(failing)},
        judge=judge,
        rows=rows,
        failing=rows.both(failing),
        shown=(column,),
        sample=Sample.VALUE if wanted else Sample.NULLS,
    )


def not_be_null(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """No value is missing."""
    return _missing_check(e, schema, rows, wanted=False)


def be_null(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """Every value is missing."""
    return _missing_check(e, schema, rows, wanted=True)


def _values(e: Expectation, schema: TableSchema) -> list[Any]:
    values = list(e.kwargs["value_set"])
    refuse_missing(values)
    if len(values) > schema.dialect.most_values:
        raise NotCompiledError(f"the set has more than {schema.dialect.most_values} values")
    return values


def be_in_set(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """Every value is one of the set."""
    column, values = schema.column(e, e.kwargs["column"]), _values(e, schema)
    return _map_check(e, column, column.sql.in_(values) if values else sa.false(), rows)


def not_be_in_set(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """No value is one of the set."""
    column, values = schema.column(e, e.kwargs["column"]), _values(e, schema)
    return _map_check(e, column, column.sql.not_in(values) if values else sa.true(), rows)


def _within(expression: Expression, e: Expectation, *, cast: type | None = None) -> Expression:
    parts = []
    for name, strict, loose, tight in (
        ("min_value", "strict_min", "__ge__", "__gt__"),
        ("max_value", "strict_max", "__le__", "__lt__"),
    ):
        value = time_bound(e.kwargs, name)
        if value is None:
            continue
        value = cast(value) if cast else value
        operator = getattr(expression, tight if e.kwargs.get(strict) else loose)
        parts.append(operator(sa.literal(value)))
    return sa.and_(*parts)


def be_between(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """Every value lies within the bounds."""
    column = schema.column(e, e.kwargs["column"])
    if (column.type or "").upper().startswith(_UNORDERED):
        raise NotCompiledError(f"column {column.name} is {column.type}, which takes no bounds")
    return _map_check(e, column, _within(column.sql, e), rows)


def _match(e: Expectation, schema: TableSchema, rows: Rows, *, wanted: bool) -> TableCheck:
    column = schema.column(e, e.kwargs["column"])
    patterns = e.kwargs.get("regex_list")
    if patterns is None:
        patterns = [e.kwargs.get("regex", "(?s).*")]
    if not patterns:
        raise NotCompiledError("the list of patterns is empty")
    if schema.dialect.regex is None:
        raise NotCompiledError(f"{schema.dialect.name} databases have patterns of their own")
    found = [schema.dialect.matches(column.sql, p, wanted=wanted) for p in patterns]
    any_of = wanted and e.kwargs.get("match_on", "any") == "any"
    return _map_check(e, column, sa.or_(*found) if any_of else sa.and_(*found), rows)


def match_regex(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The pattern (or any or all of several) is found in every value."""
    return _match(e, schema, rows, wanted=True)


def not_match_regex(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The pattern (or each of several) is found in no value."""
    return _match(e, schema, rows, wanted=False)


def _like(e: Expectation, schema: TableSchema, rows: Rows, *, wanted: bool) -> TableCheck:
    column = schema.column(e, e.kwargs["column"])
    patterns = e.kwargs.get("like_pattern_list")
    if patterns is None:
        patterns = [e.kwargs["like_pattern"]]
    escape = e.kwargs.get("escape")
    if not patterns or not all(isinstance(p, str) for p in patterns):
        raise NotCompiledError("the list of patterns is empty or holds none")
    if not schema.dialect.like or (escape is not None and len(str(escape)) != 1):
        raise NotCompiledError(f"{schema.dialect.name} databases have patterns of their own")
    likes = [column.sql.like(sa.literal(p), escape=escape) for p in patterns]
    found = likes if wanted else [sa.not_(like) for like in likes]
    any_of = wanted and (e.kwargs.get("match_on") or "any") == "any"
    return _map_check(e, column, sa.or_(*found) if any_of else sa.and_(*found), rows)


def match_like(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """Every value is like the pattern (or any or all of several)."""
    return _like(e, schema, rows, wanted=True)


def not_match_like(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """No value is like the pattern (or one of several)."""
    return _like(e, schema, rows, wanted=False)


def lengths_between(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """Every text has as many characters as the bounds say."""
    column = schema.column(e, e.kwargs["column"])
    for name in ("min_value", "max_value"):
        value = bound(e.kwargs.get(name))
        if value is not None and (isinstance(value, date) or not value.is_integer()):
            raise NotCompiledError(f"{name} is no whole number")
    return _map_check(e, column, _within(sa.func.length(column.sql), e), rows)


def lengths_equal(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """Every text has exactly so many characters."""
    column, value = schema.column(e, e.kwargs["column"]), e.kwargs["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise NotCompiledError("value is no number")
    return _map_check(e, column, sa.func.length(column.sql) == float(value), rows)


TABLE_ROWS: dict[str, Compile] = {
    "expect_column_values_to_not_be_null": not_be_null,
    "expect_column_values_to_be_null": be_null,
    "expect_column_values_to_be_in_set": be_in_set,
    "expect_column_values_to_not_be_in_set": not_be_in_set,
    "expect_column_values_to_be_between": be_between,
    "expect_column_values_to_match_regex": match_regex,
    "expect_column_values_to_not_match_regex": not_match_regex,
    "expect_column_values_to_match_regex_list": match_regex,
    "expect_column_values_to_not_match_regex_list": not_match_regex,
    "expect_column_values_to_match_like_pattern": match_like,
    "expect_column_values_to_not_match_like_pattern": not_match_like,
    "expect_column_values_to_match_like_pattern_list": match_like,
    "expect_column_values_to_not_match_like_pattern_list": not_match_like,
    "expect_column_value_lengths_to_be_between": lengths_between,
    "expect_column_value_lengths_to_equal": lengths_equal,
}
