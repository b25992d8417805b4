"""Row-level expectations on a table: each row meets it or not, ``mostly`` says how many must."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.quality.check import (
    Facts,
    NotCompiledError,
    Outcome,
    Sample,
    map_result,
    mostly_met,
    mostly_of,
)
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

# Great Expectations refuses bounds on columns whose type is named so.
_UNORDERED = ("VARCHAR", "CHAR", "NVARCHAR", "NCHAR", "TEXT", "STRING", "BOOLEAN", "BOOL", "BIT")


def unexpected(e: Expectation) -> str:
    """Return the name of the fact how many rows fail ``e``."""
    return f"unexpected {e.index}"


def _map_check(e: Expectation, column: TableColumn, met: Expression, rows: Rows) -> TableCheck:
    """Return the check that every present value of ``column`` meets ``met``.

    The failing ones are those that the reference counts: present, and ``met`` is not true; where
    it is neither true nor false the row is not counted.
    """
    failing = sa.and_(sa.not_(column.sql.is_(None)), sa.not_(met))
    present = f"present{rows.key} {column.name}"

    return TableCheck(
        expectation=e,
        reads={
            **rows.count,
            present: sa.func.count(rows.of(column.sql)),
            unexpected(e): rows.where(failing),
        },
        judge=_mostly(e, rows, present),
        rows=rows,
        failing=rows.both(failing),
        shown=(column,),
        sample=Sample.VALUE,
    )


def _mostly(e: Expectation, rows: Rows, considered: str) -> Callable[[Facts], Outcome]:
    """Return the judge of ``e`` on the rows that the fact ``considered`` counts."""

    def judge(facts: Facts) -> Outcome:
        counted, failed = int(facts[considered]), int(facts[unexpected(e)])
        return Outcome(
            success=mostly_met(counted, failed, mostly_of(e)),
            result=map_result(total=rows.total(facts), considered=counted, unexpected=failed),
        )

    return judge


def _missing_check(e: Expectation, schema: TableSchema, rows: Rows, *, wanted: bool) -> TableCheck:
    column = schema.column(e, e.kwargs["column"])
    failing = column.sql.is_not(None) if wanted else column.sql.is_(None)

    def judge(facts: Facts) -> Outcome:
        total, failed = rows.total(facts), int(facts[unexpected(e)])
        return Outcome(
            success=mostly_met(total, failed, mostly_of(e)),
            result=map_result(total=total, considered=None, unexpected=failed),
        )

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


def _listed(
    e: Expectation,
    columns: Sequence[TableColumn],
    met: Expression,
    rows: Rows,
    *,
    unless: str,
    sample: Sample,
) -> TableCheck:
    """Return the check that every row that counts meets ``met``, a condition on several columns."""
    kept = kept_rows(columns, unless)
    failing = sa.not_(met) if kept is None else sa.and_(kept, sa.not_(met))
    considered = f"considered{rows.key} {unless} {[c.name for c in columns]}"

    return TableCheck(
        expectation=e,
        reads={
            **rows.count,
            considered: rows.where(kept),
            unexpected(e): rows.where(failing),
        },
        judge=_mostly(e, rows, considered),
        rows=rows,
        failing=rows.both(failing),
        shown=tuple(columns),
        sample=sample,
    )


def kept_rows(columns: Sequence[TableColumn], unless: str) -> Expression | None:
    """Return the predicate of the rows that ``ignore_row_if`` leaves; None for all."""
    missing = [c.sql.is_(None) for c in columns]
    if unless in {"both_values_are_missing", "all_values_are_missing"}:
        return sa.not_(sa.and_(*missing))
    if unless in {"either_value_is_missing", "any_value_is_missing"}:
        return sa.not_(sa.or_(*missing))
    return None


def _pair(e: Expectation, schema: TableSchema) -> tuple[TableColumn, TableColumn]:
    return schema.column(e, e.kwargs["column_A"]), schema.column(e, e.kwargs["column_B"])


def _pair_check(e: Expectation, schema: TableSchema, rows: Rows, met: Expression) -> TableCheck:
    unless = e.kwargs.get("ignore_row_if", "both_values_are_missing")
    return _listed(e, _pair(e, schema), met, rows, unless=unless, sample=Sample.PAIR)


def pair_equal(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """Both columns hold the same in every row."""
    a, b = (c.sql for c in _pair(e, schema))
    met = sa.and_(a == b, sa.not_(sa.or_(a.is_(None), b.is_(None))))
    return _pair_check(e, schema, rows, met)


def pair_greater(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """Column A holds more than column B in every row."""
    a, b = (c.sql for c in _pair(e, schema))
    if not e.kwargs.get("or_equal"):
        return _pair_check(e, schema, rows, a > b)
    return _pair_check(e, schema, rows, sa.or_(a >= b, sa.and_(a.is_(None), b.is_(None))))


def pair_in_set(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The pair of values is one of the set."""
    pairs = e.kwargs["value_pairs_set"]
    if rows.condition is not None:
        raise NotCompiledError("the reference leaves its row_condition out")
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise NotCompiledError("the set holds no pairs")
    refuse_missing([value for pair in pairs for value in pair])
    a, b = (c.sql for c in _pair(e, schema))
    met = sa.or_(*(sa.and_(a == x, b == y) for x, y in pairs))
    return _pair_check(e, schema, rows, met)


def _several(e: Expectation, schema: TableSchema, rows: Rows, met: Any) -> TableCheck:
    columns = [schema.column(e, name) for name in e.kwargs["column_list"]]
    if len({c.name for c in columns}) < len(columns):
        raise NotCompiledError("a column is named twice")
    unless = e.kwargs.get("ignore_row_if", "all_values_are_missing")
    listed = [c.sql for c in columns]
    return _listed(e, columns, met(listed), rows, unless=unless, sample=Sample.RECORD)


def several_equal(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """All columns hold the same in every row; missing equals missing."""

    def met(columns: list[Any]) -> Expression:
        first, *others = columns
        same = (
            sa.or_(
                sa.and_(first.is_(None), c.is_(None)),
                sa.and_(first.is_not(None), c.is_not(None), first == c),
            )
            for c in others
        )
        return sa.and_(sa.true(), *same)

    return _several(e, schema, rows, met)


def several_differ(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """No two of the columns hold the same in a row; missing equals missing."""

    def met(columns: list[Any]) -> Expression:
        alike = (
            sa.or_(a == b, sa.and_(a.is_(None), b.is_(None)))
            for i, a in enumerate(columns)
            for b in columns[i + 1 :]
        )
        return sa.not_(sa.or_(*alike))

    return _several(e, schema, rows, met)


def several_sum(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The columns add up to the total in every row."""
    total = e.kwargs["sum_total"]
    if isinstance(total, bool) or not isinstance(total, (int, float)):
        raise NotCompiledError("sum_total is no number")
    # 0 + a + b, as Python's sum() writes it for the reference
    return _several(e, schema, rows, lambda columns: sum(columns) == float(total))


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
    "expect_column_pair_values_to_be_equal": pair_equal,
    "expect_column_pair_values_a_to_be_greater_than_b": pair_greater,
    "expect_column_pair_values_to_be_in_set": pair_in_set,
    "expect_multicolumn_values_to_be_equal": several_equal,
    "expect_multicolumn_sum_to_equal": several_sum,
    "expect_select_column_values_to_be_unique_within_record": several_differ,
}
