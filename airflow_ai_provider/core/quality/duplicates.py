"""Expectations that nothing comes twice."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_ai_provider.core.quality.check import (
    COUNTABLE,
    RELATION,
    Check,
    Compile,
    Facts,
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
from airflow_ai_provider.core.quality.rows import kept_rows
from airflow_ai_provider.core.quality.sql import Column
from airflow_ai_provider.core.quality.suite import Expectation


def be_unique(e: Expectation, schema: Schema) -> Check:
    """No value comes twice; every copy counts as failing."""
    column = schema.column(e, e.kwargs["column"])
    need(column, *COUNTABLE)
    kept = schema.rows.both(f"{column.sql} IS NOT NULL")
    copies = f"SELECT {column.sql} FROM {RELATION} WHERE {kept} GROUP BY 1 HAVING count(*) > 1"  # noqa: S608
    return _copies_check(
        e,
        schema,
        [column],
        groups=f"WHERE {kept} GROUP BY {column.sql}",
        considered=f"count({schema.rows.of(column.sql)})",
        failing=schema.rows.both(f"{column.sql} IN ({copies})"),
        sample=Sample.VALUE,
    )


def compound_unique(e: Expectation, schema: Schema) -> Check:
    """No combination of the columns' values comes twice; missing equals missing."""
    columns = [schema.column(e, name) for name in e.kwargs["column_list"]]
    for column in columns:
        need(column, *COUNTABLE)
    unless = e.kwargs.get("ignore_row_if", "all_values_are_missing")
    kept = schema.rows.both(kept_rows(columns, unless))
    names = ", ".join(c.sql for c in columns)
    copies = f"SELECT {names} FROM {RELATION} WHERE {kept} GROUP BY ALL HAVING count(*) > 1"  # noqa: S608
    same = " AND ".join(f"copies.{c.sql} IS NOT DISTINCT FROM {RELATION}.{c.sql}" for c in columns)
    return _copies_check(
        e,
        schema,
        columns,
        groups=f"WHERE {kept} GROUP BY {names}",
        considered=schema.rows.where(kept_rows(columns, unless)),
        failing=f"({kept} AND EXISTS (SELECT 1 FROM ({copies}) AS copies WHERE {same}))",  # noqa: S608
        sample=Sample.RECORD,
    )


def _copies_check(
    e: Expectation,
    schema: Schema,
    columns: Sequence[Column],
    *,
    groups: str,
    considered: str,
    failing: str,
    sample: Sample,
) -> Check:
    total = schema.rows.count
    unexpected = (
        f"(SELECT coalesce(sum(n), 0)::BIGINT FROM (SELECT count(*) AS n FROM {RELATION} {groups} "  # noqa: S608
        f"HAVING count(*) > 1))"
    )

    def judge(facts: Facts) -> Outcome:
        if why := inexact(facts, columns):
            return Outcome(unsure=why)
        failed, counted = facts[unexpected], facts[considered]
        return Outcome(
            success=mostly_met(counted, failed, mostly_of(e)),
            result=map_result(total=facts[total], considered=counted, unexpected=failed),
        )

    return Check(
        expectation=e,
        reads=(total, considered, unexpected, *exact(columns)),
        judge=judge,
        failing=failing,
        shown=tuple(columns),
        sample=sample,
    )


UNIQUE: dict[str, Compile] = {
    "expect_column_values_to_be_unique": be_unique,
    "expect_compound_columns_to_be_unique": compound_unique,
}
