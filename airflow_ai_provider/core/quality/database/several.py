"""Row-level expectations on several columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.quality.check import NotCompiledError, Sample
from airflow_ai_provider.core.quality.database.check import (
    Compile,
    Expression,
    Rows,
    TableCheck,
    TableColumn,
    TableSchema,
    refuse_missing,
    row_check,
)
from airflow_ai_provider.core.quality.suite import Expectation


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
    return row_check(
        e, rows, failing, considered=(considered, rows.where(kept)), shown=columns, sample=sample
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


TABLE_SEVERAL: dict[str, Compile] = {
    "expect_column_pair_values_to_be_equal": pair_equal,
    "expect_column_pair_values_a_to_be_greater_than_b": pair_greater,
    "expect_column_pair_values_to_be_in_set": pair_in_set,
    "expect_multicolumn_values_to_be_equal": several_equal,
    "expect_multicolumn_sum_to_equal": several_sum,
    "expect_select_column_values_to_be_unique_within_record": several_differ,
}
