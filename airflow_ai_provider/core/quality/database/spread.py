"""Expectations on how far a table's values lie from their mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
)
from airflow_ai_provider.core.quality.database.figures import between, named, plain, steadied
from airflow_ai_provider.core.quality.limits import bound
from airflow_ai_provider.core.quality.suite import Expectation

_CLOSE = 1e-9


class Spread:
    """Mean and sample standard deviation of a column, as the reference takes them.

    Where the database has no aggregate for it, the squares are added up once the mean is known.
    """

    def __init__(self, column: TableColumn, schema: TableSchema, rows: Rows) -> None:
        self._column, self._schema, self._rows = column, schema, rows
        self._mean, self._count = (
            f"mean{rows.key} {column.name}",
            f"present{rows.key} {column.name}",
        )
        self.deviation = f"deviation{rows.key} {column.name}"
        self._squares = f"squares{rows.key} {column.name}"

    @property
    def reads(self) -> dict[str, Expression]:
        """The first figures."""
        value = self._rows.of(self._column.sql)
        found: dict[str, Expression] = {
            self._mean: sa.func.avg(1.0 * value),
            self._count: sa.func.count(value),
        }
        if aggregate := self._schema.dialect.sample_deviation:
            found[self.deviation] = getattr(sa.func, aggregate)(value)
        return found

    def more(self, facts: Facts) -> Mapping[str, sa.Select[Any]]:
        """Return the statement that adds up the squares, where one is needed."""
        if self._schema.dialect.sample_deviation or int(facts[self._count]) < 2:
            return {}
        away = 1.0 * self._rows.of(self._column.sql) - facts[self._mean]
        statement = sa.select(sa.func.sum(away * away)).select_from(self._schema.source)
        return {self._squares: statement}

    def of(self, facts: Facts) -> tuple[float | None, float | None]:
        """Return mean and deviation; None where there are too few values."""
        mean = plain(facts[self._mean])
        if self.deviation in facts:
            return mean, plain(facts[self.deviation])
        if int(facts[self._count]) < 2:
            return mean, None
        squares = facts[self._squares][0][0] / (1.0 * int(facts[self._count]) - 1.0)
        return mean, math.sqrt(squares)


def _spread(e: Expectation, schema: TableSchema, rows: Rows) -> Spread:
    if not (schema.dialect.sample_deviation or schema.dialect.steady):
        raise NotCompiledError(f"{schema.dialect.name} databases have no one aggregate for it")
    return Spread(named(e, schema, numbers=True), schema, rows)


def column_stdev(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The sample standard deviation lies within the bounds."""
    for name in ("min_value", "max_value"):
        bound(e.kwargs.get(name))
    spread = _spread(e, schema, rows)

    def judge(facts: Facts) -> Outcome:
        deviation = spread.of(facts)[1]
        return steadied(e, schema, "standard deviation", deviation) or between(e, deviation)

    return TableCheck(expectation=e, reads=spread.reads, judge=judge, rows=rows, more=spread.more)


def z_scores(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """Every value lies fewer standard deviations from the mean than the threshold."""
    column, spread = named(e, schema, numbers=True), _spread(e, schema, rows)
    threshold, double = e.kwargs["threshold"], e.kwargs["double_sided"]
    if not isinstance(threshold, (int, float)) or not isinstance(double, bool):
        raise NotCompiledError("threshold or double_sided is of another kind")
    limit = abs(float(threshold)) if double else float(threshold)
    present, count = f"present{rows.key} {column.name}", f"unexpected {e.index}"

    def score(facts: Facts) -> Expression | None:
        mean, deviation = spread.of(facts)
        if not deviation or not math.isfinite(deviation):
            return None
        found = (column.sql - mean) / deviation
        return sa.func.abs(found) if double else found

    def failing(facts: Facts) -> Expression:
        found = score(facts)
        if found is None:
            return sa.false()
        return rows.both(sa.and_(sa.not_(column.sql.is_(None)), sa.not_(found < limit)))

    def more(facts: Facts) -> Mapping[str, sa.Select[Any]]:
        wanted = dict(spread.more(facts))
        if any(name not in facts for name in wanted):
            return wanted
        found = score(facts)
        if found is None:
            return wanted
        near = sa.and_(found > limit - _CLOSE, found < limit + _CLOSE)
        counted = sa.select(rows.where(failing(facts)), rows.where(near))
        return {**wanted, count: counted.select_from(schema.source)}

    def judge(facts: Facts) -> Outcome:
        deviation = spread.of(facts)[1]
        if deviation is not None and not math.isfinite(deviation):
            return Outcome(unsure=f"column {column.name} holds infinite values")
        failed, near = facts[count][0] if count in facts else (0, 0)
        if near and not schema.dialect.steady:
            return Outcome(unsure="a score is too close to the threshold")
        counted = int(facts[present])
        return Outcome(
            success=mostly_met(counted, int(failed), mostly_of(e)),
            result=map_result(total=rows.total(facts), considered=counted, unexpected=int(failed)),
        )

    return TableCheck(
        expectation=e,
        reads={**rows.count, **spread.reads},
        judge=judge,
        rows=rows,
        more=more,
        failing_by=failing,
        shown=(column,),
        sample=Sample.VALUE,
    )


TABLE_SPREAD: dict[str, Compile] = {
    "expect_column_stdev_to_be_between": column_stdev,
    "expect_column_value_z_scores_to_be_less_than": z_scores,
}
