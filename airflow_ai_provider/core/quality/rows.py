"""Row-level expectations: each row meets it or not, and ``mostly`` says how many must."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_ai_provider.core.quality.check import (
    ROWS,
    Check,
    Compile,
    Facts,
    NotCompiledError,
    Outcome,
    Sample,
    Schema,
    exact,
    inexact,
    map_result,
    mostly_met,
    mostly_of,
    need,
)
from airflow_ai_provider.core.quality.limits import value_set_of, within
from airflow_ai_provider.core.quality.regex import UnsupportedPatternError, translate
from airflow_ai_provider.core.quality.sql import Column, Family, members, number, text
from airflow_ai_provider.core.quality.suite import Expectation


def _column(e: Expectation, schema: Schema, *families: Family) -> Column:
    column = schema.column(e, e.kwargs["column"])
    if families:
        need(column, *families)
    return column


def _failed(failing: str) -> str:
    return f"count(*) FILTER (WHERE {failing})"


def _map_check(
    e: Expectation,
    column: Column,
    met: str,
    *,
    guarded: Sequence[Column] = (),
    unsure_rows: str | None = None,
    unsure_why: str = "",
) -> Check:
    """Return the check that every present value of ``column`` meets ``met``."""
    failing = f"({column.sql} IS NOT NULL AND NOT ({met}))"
    present = f"count({column.sql})"
    disagreed = _failed(unsure_rows) if unsure_rows else None

    def judge(facts: Facts) -> Outcome:
        if disagreed and facts[disagreed]:
            return Outcome(unsure=unsure_why)
        if why := inexact(facts, guarded):
            return Outcome(unsure=why)
        total, considered, unexpected = facts[ROWS], facts[present], facts[_failed(failing)]
        return Outcome(
            success=mostly_met(considered, unexpected, mostly_of(e)),
            result=map_result(total=total, considered=considered, unexpected=unexpected),
        )

    reads = (ROWS, present, _failed(failing), *exact(guarded))
    return Check(
        expectation=e,
        reads=(*reads, disagreed) if disagreed else reads,
        judge=judge,
        failing=failing,
        shown=(column,),
        sample=Sample.VALUE,
    )


def _missing_check(e: Expectation, schema: Schema, *, wanted: bool) -> Check:
    column = _column(e, schema)
    failing = f"({column.sql} IS {'NOT ' if wanted else ''}NULL)"
    unexpected_read = _failed(failing)

    def judge(facts: Facts) -> Outcome:
        total, unexpected = facts[ROWS], facts[unexpected_read]
        return Outcome(
            success=mostly_met(total, unexpected, mostly_of(e)),
            result=map_result(total=total, considered=None, unexpected=unexpected),
        )

    return Check(
        expectation=e,
        reads=(ROWS, unexpected_read),
        judge=judge,
        failing=failing,
        shown=(column,),
        sample=Sample.VALUE if wanted else Sample.NULLS,
    )


def not_be_null(e: Expectation, schema: Schema) -> Check:
    """No value is missing."""
    return _missing_check(e, schema, wanted=False)


def be_null(e: Expectation, schema: Schema) -> Check:
    """Every value is missing."""
    return _missing_check(e, schema, wanted=True)


def be_in_set(e: Expectation, schema: Schema) -> Check:
    """Every value is one of the set."""
    column = _column(e, schema)
    met = members(column.sql, value_set_of(e, column))
    return _map_check(e, column, met, guarded=[column])


def not_be_in_set(e: Expectation, schema: Schema) -> Check:
    """No value is one of the set."""
    column = _column(e, schema)
    met = f"NOT ({members(column.sql, value_set_of(e, column))})"
    return _map_check(e, column, met, guarded=[column])


def be_between(e: Expectation, schema: Schema) -> Check:
    """Every value lies within the bounds."""
    column = _column(e, schema, Family.INTEGER, Family.FLOAT)
    return _map_check(e, column, within(column.sql, e.kwargs))


def _regex(e: Expectation, schema: Schema, *, wanted: bool) -> Check:
    column = _column(e, schema, Family.TEXT)
    try:
        pattern = translate(e.kwargs.get("regex", "(?s).*"))
    except UnsupportedPatternError as error:
        raise NotCompiledError(str(error)) from error
    python = f"regexp_matches({column.sql}, {text(pattern.python)})"
    re2 = f"regexp_matches({column.sql}, {text(pattern.re2)})"
    return _map_check(
        e,
        column,
        re2 if wanted else f"NOT {re2}",
        unsure_rows=None if pattern.certain else f"{python} <> {re2}",
        unsure_why="Python and RE2 disagree on the pattern for some values",
    )


def match_regex(e: Expectation, schema: Schema) -> Check:
    """The pattern is found in every value."""
    return _regex(e, schema, wanted=True)


def not_match_regex(e: Expectation, schema: Schema) -> Check:
    """The pattern is found in no value."""
    return _regex(e, schema, wanted=False)


def lengths_between(e: Expectation, schema: Schema) -> Check:
    """Every text is as long as the bounds say, in characters."""
    column = _column(e, schema, Family.TEXT)
    return _map_check(e, column, within(f"length({column.sql})", e.kwargs))


def lengths_equal(e: Expectation, schema: Schema) -> Check:
    """Every text has exactly so many characters."""
    column = _column(e, schema, Family.TEXT)
    value = e.kwargs["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise NotCompiledError("value is no number")
    return _map_check(e, column, f"length({column.sql}) = {number(value)}")


def _pair_check(e: Expectation, schema: Schema, operator: str) -> Check:
    a, b = (schema.column(e, e.kwargs[name]) for name in ("column_A", "column_B"))
    numbers = {Family.INTEGER, Family.FLOAT}
    if not {a.family, b.family} <= numbers and not a.family is b.family is Family.TEXT:
        raise NotCompiledError(f"columns are {a.type} and {b.type}")
    kept = {
        "both_values_are_missing": f"({a.sql} IS NOT NULL OR {b.sql} IS NOT NULL)",
        "either_value_is_missing": f"({a.sql} IS NOT NULL AND {b.sql} IS NOT NULL)",
        "neither": "true",
    }[e.kwargs.get("ignore_row_if", "both_values_are_missing")]
    failing = f"({kept} AND NOT coalesce({a.sql} {operator} {b.sql}, false))"
    considered = f"count(*) FILTER (WHERE {kept})"

    def judge(facts: Facts) -> Outcome:
        if why := inexact(facts, [a, b]):
            return Outcome(unsure=why)
        counted, unexpected = facts[considered], facts[_failed(failing)]
        return Outcome(
            success=mostly_met(counted, unexpected, mostly_of(e)),
            result=map_result(total=facts[ROWS], considered=counted, unexpected=unexpected),
        )

    return Check(
        expectation=e,
        reads=(ROWS, considered, _failed(failing), *exact([a, b])),
        judge=judge,
        failing=failing,
        shown=(a, b),
        sample=Sample.PAIR,
    )


def pair_equal(e: Expectation, schema: Schema) -> Check:
    """Both columns hold the same in every row."""
    return _pair_check(e, schema, "=")


def pair_greater(e: Expectation, schema: Schema) -> Check:
    """Column A holds more than column B in every row."""
    return _pair_check(e, schema, ">=" if e.kwargs.get("or_equal") else ">")


ROW_LEVEL: dict[str, Compile] = {
    "expect_column_values_to_not_be_null": not_be_null,
    "expect_column_values_to_be_null": be_null,
    "expect_column_values_to_be_in_set": be_in_set,
    "expect_column_values_to_not_be_in_set": not_be_in_set,
    "expect_column_values_to_be_between": be_between,
    "expect_column_values_to_match_regex": match_regex,
    "expect_column_values_to_not_match_regex": not_match_regex,
    "expect_column_value_lengths_to_be_between": lengths_between,
    "expect_column_value_lengths_to_equal": lengths_equal,
    "expect_column_pair_values_to_be_equal": pair_equal,
    "expect_column_pair_values_a_to_be_greater_than_b": pair_greater,
}
