"""Expectations on a table that nothing comes twice.

The first look counts distinct values beside present ones; only where the two differ does the second
look count the copies.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from airflow_ai_provider.core.quality.check import (
    Facts,
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
)
from airflow_ai_provider.core.quality.database.figures import distinct_read
from airflow_ai_provider.core.quality.database.several import kept_rows
from airflow_ai_provider.core.quality.suite import Expectation


def be_unique(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """No value comes twice; every copy counts as failing."""
    column = schema.column(e, e.kwargs["column"])
    present = f"present{rows.key} {column.name}"
    there = sa.func.count(rows.of(column.sql))
    read, distinct = distinct_read(column, rows)
    return _copies_check(
        e,
        [column],
        rows,
        considered=(present, there),
        whole=(present, there),
        distinct=(read, distinct),
        sample=Sample.VALUE,
    )


def compound_unique(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """No combination of the columns' values comes twice; with a missing value it is none."""
    columns = [schema.column(e, name) for name in e.kwargs["column_list"]]
    unless = e.kwargs.get("ignore_row_if", "all_values_are_missing")
    names = [c.name for c in columns]
    considered = f"considered{rows.key} {unless} {names}"
    whole = sa.and_(*(c.sql.is_not(None) for c in columns))
    distinct = None
    if schema.dialect.distinct_rows:
        row = sa.func.row(*(c.sql for c in columns))
        counted = sa.func.count(sa.distinct(sa.case((rows.both(whole), row))))
        distinct = (f"distinct{rows.key} {names}", counted)
    return _copies_check(
        e,
        columns,
        rows,
        considered=(considered, rows.where(kept_rows(columns, unless))),
        whole=(f"whole{rows.key} {names}", rows.where(whole)),
        distinct=distinct,
        sample=Sample.RECORD,
    )


Read = tuple[str, Expression]


def _copies_check(
    e: Expectation,
    columns: Sequence[TableColumn],
    rows: Rows,
    *,
    considered: Read,
    whole: Read,
    distinct: Read | None,
    sample: Sample,
) -> TableCheck:
    """Return the check; without a ``distinct`` read the second look is always taken."""
    reads = dict(r for r in (considered, whole, distinct) if r is not None)
    copied = f"copies {e.index}"

    def repeated(facts: Facts) -> bool:
        return distinct is None or facts[distinct[0]] != facts[whole[0]]

    def judge(facts: Facts) -> Outcome:
        counted, failed = int(facts[considered[0]]), int(facts.get(copied) or 0)
        return judge_rows(e, total=rows.total(facts), considered=counted, unexpected=failed)

    return TableCheck(
        expectation=e,
        reads={**rows.count, **reads},
        judge=judge,
        rows=rows,
        copies=tuple(columns),
        repeated=repeated,
        shown=tuple(columns),
        sample=sample,
    )


TABLE_COPIES: dict[str, Compile] = {
    "expect_column_values_to_be_unique": be_unique,
    "expect_compound_columns_to_be_unique": compound_unique,
}
