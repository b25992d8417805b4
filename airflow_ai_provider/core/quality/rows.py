"""Row-level expectations: each row meets it or not, and ``mostly`` says how many must."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_ai_provider.core.quality.catalogue import PARSED
from airflow_ai_provider.core.quality.check import (
    Check,
    Compile,
    Facts,
    NotCompiledError,
    Outcome,
    Sample,
    Schema,
    exact,
    inexact,
    judge_rows,
    need,
)
from airflow_ai_provider.core.quality.limits import bounds, value_set_of, within, within_column
from airflow_ai_provider.core.quality.regex import UnsupportedPatternError, translate
from airflow_ai_provider.core.quality.sql import Column, Family, members, number, text
from airflow_ai_provider.core.quality.suite import Expectation

ANY_MISSING = ("either_value_is_missing", "any_value_is_missing")
_ISO_TIME = r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?"


def _column(e: Expectation, schema: Schema, *families: Family) -> Column:
    column = schema.column(e, e.kwargs["column"])
    if families:
        need(column, *families)
    return column


def map_check(
    e: Expectation,
    schema: Schema,
    column: Column,
    met: str,
    *,
    guarded: Sequence[Column] = (),
    unsure_rows: str | None = None,
    unsure_why: str = "",
) -> Check:
    """Return the check that every present value of ``column`` meets ``met``."""
    rows = schema.rows
    failing = f"({column.sql} IS NOT NULL AND NOT ({met}))"
    present, failed = f"count({rows.of(column.sql)})", rows.where(failing)
    disagreed = rows.where(unsure_rows) if unsure_rows else None

    def judge(facts: Facts) -> Outcome:
        if disagreed and facts[disagreed]:
            return Outcome(unsure=unsure_why)
        if why := inexact(facts, guarded):
            return Outcome(unsure=why)
        total, considered, unexpected = facts[rows.count], facts[present], facts[failed]
        return judge_rows(e, total=total, considered=considered, unexpected=unexpected)

    reads = (rows.count, present, failed, *exact(guarded))
    return Check(
        expectation=e,
        reads=(*reads, disagreed) if disagreed else reads,
        judge=judge,
        failing=rows.both(failing),
        shown=(column,),
        sample=Sample.VALUE,
    )


def _missing_check(e: Expectation, schema: Schema, *, wanted: bool) -> Check:
    column, rows = _column(e, schema), schema.rows
    failing = f"({column.sql} IS {'NOT ' if wanted else ''}NULL)"
    present = f"count({rows.of(column.sql)})"  # a Parquet file's statistics may know it

    def judge(facts: Facts) -> Outcome:
        total = facts[rows.count]
        unexpected = facts[present] if wanted else total - facts[present]
        return judge_rows(e, total=total, considered=None, unexpected=unexpected)

    return Check(
        expectation=e,
        reads=(rows.count, present),
        judge=judge,
        failing=rows.both(failing),
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
    return map_check(e, schema, column, met, guarded=[column])


def not_be_in_set(e: Expectation, schema: Schema) -> Check:
    """No value is one of the set."""
    column = _column(e, schema)
    met = f"NOT ({members(column.sql, value_set_of(e, column))})"
    return map_check(e, schema, column, met, guarded=[column])


def be_between(e: Expectation, schema: Schema) -> Check:
    """Every value lies within the bounds."""
    column = _column(e, schema)
    if e.kwargs.get(PARSED) and column.family is Family.TEXT:
        return _parsed_between(e, schema, column)
    need(column, Family.INTEGER, Family.FLOAT, Family.DECIMAL, Family.DATE, Family.TIMESTAMP)
    return map_check(e, schema, column, within_column(column, e.kwargs))


def _parsed_between(e: Expectation, schema: Schema, column: Column) -> Check:
    """Compare texts as the times that they write; one that writes none cannot be judged.

    Nor one with a zone: Python compares no time that has one with a bound that has none.
    """
    moment = Column(name=column.name, type="TIMESTAMP")
    parsed = f"try_cast({column.sql} AS TIMESTAMP)"
    plain = f"regexp_full_match({column.sql}, {text(_ISO_TIME)})"
    met = within_column(moment, e.kwargs).replace(column.sql, parsed)
    return map_check(
        e,
        schema,
        column,
        met,
        unsure_rows=f"({column.sql} IS NOT NULL AND ({parsed} IS NULL OR NOT {plain}))",
        unsure_why=f"column {column.name} holds texts that are no times in ISO 8601 without a zone",
    )


def _regex(e: Expectation, schema: Schema, *, wanted: bool) -> Check:
    column = _column(e, schema, Family.TEXT)
    written = e.kwargs.get("regex_list")
    if written is None:
        written = [e.kwargs.get("regex", "(?s).*")]
    if not written:
        raise NotCompiledError("the list of patterns is empty")
    try:
        patterns = [translate(pattern) for pattern in written]
    except UnsupportedPatternError as error:
        raise NotCompiledError(str(error)) from error

    def found(pattern: str) -> str:
        return f"regexp_matches({column.sql}, {text(pattern)})"

    word = " AND " if wanted and e.kwargs.get("match_on") == "all" else " OR "
    matched = "(" + word.join(found(p.re2) for p in patterns) + ")"
    doubtful = [f"{found(p.python)} <> {found(p.re2)}" for p in patterns if not p.certain]
    return map_check(
        e,
        schema,
        column,
        matched if wanted else f"NOT {matched}",
        unsure_rows=f"({' OR '.join(doubtful)})" if doubtful else None,
        unsure_why="Python and RE2 disagree on the pattern for some values",
    )


def match_regex(e: Expectation, schema: Schema) -> Check:
    """The pattern (or any or all of several) is found in every value."""
    return _regex(e, schema, wanted=True)


def not_match_regex(e: Expectation, schema: Schema) -> Check:
    """The pattern (or each of several) is found in no value."""
    return _regex(e, schema, wanted=False)


def lengths_between(e: Expectation, schema: Schema) -> Check:
    """Every text is as long as the bounds say, in characters."""
    column = _column(e, schema, Family.TEXT)
    met = within(f"length({column.sql})", e.kwargs)
    low, high = bounds(e.kwargs)
    if high is None or 4 * (low or 0) < high:  # a character takes up to four bytes
        size = f"strlen({column.sql})"
        surely = within(size, {**e.kwargs, "min_value": None if low is None else 4 * low})
        met = f"CASE WHEN {surely} THEN true ELSE {met} END"  # bytes are counted faster
    return map_check(e, schema, column, met)


def lengths_equal(e: Expectation, schema: Schema) -> Check:
    """Every text has exactly so many characters."""
    column = _column(e, schema, Family.TEXT)
    value = e.kwargs["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise NotCompiledError("value is no number")
    return map_check(e, schema, column, f"length({column.sql}) = {number(value)}")


def _pair_check(e: Expectation, schema: Schema, operator: str) -> Check:
    a, b = (schema.column(e, e.kwargs[name]) for name in ("column_A", "column_B"))
    numbers = {Family.INTEGER, Family.FLOAT}
    if not {a.family, b.family} <= numbers and not a.family is b.family is Family.TEXT:
        raise NotCompiledError(f"columns are {a.type} and {b.type}")
    unless = e.kwargs.get("ignore_row_if", "both_values_are_missing")
    met = f"coalesce({a.sql} {operator} {b.sql}, false)"
    return listed_check(e, schema, [a, b], met, unless=unless, sample=Sample.PAIR)


def listed_check(
    e: Expectation,
    schema: Schema,
    columns: Sequence[Column],
    met: str,
    *,
    unless: str,
    sample: Sample = Sample.RECORD,
) -> Check:
    """Return the check that every row that counts meets ``met``, never null, on several columns."""
    rows = schema.rows
    kept = kept_rows(columns, unless)
    failing = f"({kept} AND NOT {met})"
    considered, failed = rows.where(kept), rows.where(failing)

    def judge(facts: Facts) -> Outcome:
        if why := inexact(facts, columns):
            return Outcome(unsure=why)
        counted, unexpected = facts[considered], facts[failed]
        return judge_rows(e, total=facts[rows.count], considered=counted, unexpected=unexpected)

    return Check(
        expectation=e,
        reads=(rows.count, considered, failed, *exact(columns)),
        judge=judge,
        failing=rows.both(failing),
        shown=tuple(columns),
        sample=sample,
    )


def kept_rows(columns: Sequence[Column], unless: str) -> str:
    """Return the predicate of the rows that ``ignore_row_if`` leaves."""
    there = [f"{c.sql} IS NOT NULL" for c in columns]
    if unless in {"both_values_are_missing", "all_values_are_missing"}:
        return f"({' OR '.join(there)})"
    if unless in ANY_MISSING:
        return f"({' AND '.join(there)})"
    return "true"


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
    "expect_column_values_to_match_regex_list": match_regex,
    "expect_column_values_to_not_match_regex_list": not_match_regex,
    "expect_column_value_lengths_to_be_between": lengths_between,
    "expect_column_value_lengths_to_equal": lengths_equal,
    "expect_column_pair_values_to_be_equal": pair_equal,
    "expect_column_pair_values_a_to_be_greater_than_b": pair_greater,
}
