"""Expectations on a table's values in their order: median, quantiles, the most common ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.quality.check import Facts, NotCompiledError, Outcome
from airflow_ai_provider.core.quality.database.check import (
    Compile,
    Expression,
    Rows,
    TableCheck,
    TableColumn,
    TableSchema,
    refuse_missing,
)
from airflow_ai_provider.core.quality.database.figures import between, plain
from airflow_ai_provider.core.quality.quantiles import judge_quantiles, quantile_ranges
from airflow_ai_provider.core.quality.suite import Expectation

_TIES = 100  # values that come equally often: beyond this many the reference lists them


def _number_column(e: Expectation, schema: TableSchema) -> TableColumn:
    column = schema.column(e, e.kwargs["column"])
    wanted = (sa.Integer, sa.Numeric, sa.Float)
    if not isinstance(column.native, wanted):
        raise NotCompiledError(f"column {column.name} is {column.type}, not known for a number")
    return column


def _at(quantile: float, value: Expression, *, descending: bool = False) -> Expression:
    order = value.desc() if descending else value.asc()
    return sa.func.percentile_disc(quantile).within_group(order)


def _ranked(column: TableColumn, schema: TableSchema, rows: Rows, rank: int, count: int) -> Any:
    """Return the statement that reads ``count`` values from ``rank`` on, from 0."""
    return (
        sa.select(column.sql)
        .select_from(schema.source)
        .where(rows.both(column.sql.is_not(None)))
        .order_by(column.sql)
        .offset(rank)
        .limit(count)
    )


def column_median(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The median lies within the bounds: the middle value, or half the sum of the middle two."""
    column = _number_column(e, schema)
    present = f"present{rows.key} {column.name}"
    low, high = f"median{rows.key} {column.name}", f"median from above{rows.key} {column.name}"
    middle = f"middle {e.index}"
    reads: dict[str, Expression] = {present: sa.func.count(rows.of(column.sql))}
    if schema.dialect.ordered_sets:
        value = rows.of(column.sql)
        reads |= {low: _at(0.5, value), high: _at(0.5, value, descending=True)}

    def more(facts: Facts) -> Mapping[str, sa.Select[Any]]:
        count = int(facts[present])
        if not count or schema.dialect.ordered_sets:
            return {}
        return {middle: _ranked(column, schema, rows, (count - 1) // 2, 2 - count % 2)}

    def judge(facts: Facts) -> Outcome:
        count = int(facts[present])
        if not count:
            return between(e, None)
        if schema.dialect.ordered_sets:
            values = [facts[low], facts[high]][: 2 - count % 2]
        else:
            values = [row[0] for row in facts[middle]]
        return between(e, float(values[0] + values[1]) / 2.0 if len(values) == 2 else values[0])

    return TableCheck(expectation=e, reads=reads, judge=judge, rows=rows, more=more)


def column_quantiles(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """Each quantile lies within its range; at a bound a ten-thousandth more is allowed."""
    column = _number_column(e, schema)
    quantiles, ranges = quantile_ranges(e)
    present = f"present{rows.key} {column.name}"
    reads: dict[str, Expression] = {present: sa.func.count(rows.of(column.sql))}
    named = [f"quantile{rows.key} {q!r} {column.name}" for q in quantiles]
    if schema.dialect.ordered_sets:
        value = rows.of(column.sql)
        reads |= {n: _at(q, value) for n, q in zip(named, quantiles, strict=True)}

    def more(facts: Facts) -> Mapping[str, sa.Select[Any]]:
        count = int(facts[present])
        if not count or schema.dialect.ordered_sets:
            return {}
        ranks = [max(math.ceil(Fraction(str(q)) * count), 1) - 1 for q in quantiles]
        return {
            name: _ranked(column, schema, rows, rank, 1)
            for name, rank in zip(named, ranks, strict=True)
        }

    def judge(facts: Facts) -> Outcome:
        if not facts[present]:
            values: list[Any] = [None] * len(quantiles)
        elif schema.dialect.ordered_sets:
            values = [plain(facts[name]) for name in named]
        else:
            values = [plain(facts[name][0][0]) for name in named]
        return judge_quantiles(quantiles, ranges, values)

    return TableCheck(expectation=e, reads=reads, judge=judge, rows=rows, more=more)


def most_common(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The most common value is one of the set; with ``ties_okay`` one of several is enough."""
    column = schema.column(e, e.kwargs["column"])
    if not isinstance(column.native, (sa.Integer, sa.String)):
        raise NotCompiledError(f"column {column.name} is {column.type}")
    values = list(e.kwargs["value_set"])
    refuse_missing(values)
    wanted = (str,) if isinstance(column.native, sa.String) else (int, float)
    if not all(isinstance(v, wanted) for v in values):
        raise NotCompiledError(f"the set holds other kinds of values than column {column.name}")
    read = f"most common {e.index}"
    counted = (
        sa.select(column.sql.label("value"), sa.func.count().label("times"))
        .select_from(schema.source)
        .where(rows.both(column.sql.is_not(None)))
        .group_by(column.sql)
        .cte("counted")
    )
    most = sa.select(sa.func.max(counted.c.times)).scalar_subquery()
    statement = sa.select(counted.c.value).where(counted.c.times == most).limit(_TIES + 1)

    def judge(facts: Facts) -> Outcome:
        found = [row[0] for row in facts[read]]
        if len(found) > _TIES:
            return Outcome(unsure=f"more than {_TIES} values come equally often")
        within = len(set(values) & set(found))
        met = within > 0 if e.kwargs.get("ties_okay") else len(found) == 1 and within == 1
        return Outcome(success=met, result={"observed_value": sorted(found)})

    return TableCheck(
        expectation=e, reads={}, judge=judge, rows=rows, more=lambda _: {read: statement}
    )


TABLE_ORDERED: dict[str, Compile] = {
    "expect_column_median_to_be_between": column_median,
    "expect_column_quantile_values_to_be_between": column_quantiles,
    "expect_column_most_common_value_to_be_in_set": most_common,
}
