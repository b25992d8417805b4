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
    judge_rows,
)
from airflow_ai_provider.core.quality.database.check import (
    Compile,
    Expression,
    Rows,
    TableCheck,
    TableColumn,
    TableSchema,
    unexpected,
)
from airflow_ai_provider.core.quality.database.figures import between, named, plain, steadied
from airflow_ai_provider.core.quality.limits import bound
from airflow_ai_provider.core.quality.suite import Expectation
from airflow_ai_provider.core.quality.z_scores import CLOSE, TOO_CLOSE, Threshold


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


class _Scores:
    """How many deviations each value of a column lies from the mean, once both are known."""

    def __init__(self, e: Expectation, schema: TableSchema, rows: Rows) -> None:
        self.column, self.spread = named(e, schema, numbers=True), _spread(e, schema, rows)
        self._expectation, self._schema, self._rows = e, schema, rows
        self._threshold = Threshold.of(e)
        self._present = f"present{rows.key} {self.column.name}"
        self._count = unexpected(e)

    def failing(self, facts: Facts) -> Expression:
        """Return the condition of the rows that lie too far away."""
        score = self._score(facts)
        if score is None:
            return sa.false()
        beyond = sa.not_(score < self._threshold.limit)
        return self._rows.both(sa.and_(sa.not_(self.column.sql.is_(None)), beyond))

    def more(self, facts: Facts) -> Mapping[str, sa.Select[Any]]:
        """Return the statement that counts the scores beyond the threshold, and those near it."""
        wanted = dict(self.spread.more(facts))
        if any(name not in facts for name in wanted):
            return wanted
        score = self._score(facts)
        if score is None:
            return wanted
        limit = self._threshold.limit
        near = sa.and_(score > limit - CLOSE, score < limit + CLOSE)
        counted = sa.select(self._rows.where(self.failing(facts)), self._rows.where(near))
        return {**wanted, self._count: counted.select_from(self._schema.source)}

    def judge(self, facts: Facts) -> Outcome:
        """Return whether enough values lie near enough."""
        deviation = self.spread.of(facts)[1]
        if deviation is not None and not math.isfinite(deviation):
            return Outcome(unsure=f"column {self.column.name} holds infinite values")
        failed, near = facts[self._count][0] if self._count in facts else (0, 0)
        if near and not self._schema.dialect.steady:
            return Outcome(unsure=TOO_CLOSE)
        return judge_rows(
            self._expectation,
            total=self._rows.total(facts),
            considered=int(facts[self._present]),
            unexpected=int(failed),
        )

    def _score(self, facts: Facts) -> Expression | None:
        mean, deviation = self.spread.of(facts)
        if not deviation or not math.isfinite(deviation):
            return None
        found = (self.column.sql - mean) / deviation
        return sa.func.abs(found) if self._threshold.double else found


def z_scores(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """Every value lies fewer standard deviations from the mean than the threshold."""
    scores = _Scores(e, schema, rows)
    return TableCheck(
        expectation=e,
        reads={**rows.count, **scores.spread.reads},
        judge=scores.judge,
        rows=rows,
        more=scores.more,
        failing_by=scores.failing,
        shown=(scores.column,),
        sample=Sample.VALUE,
    )


TABLE_SPREAD: dict[str, Compile] = {
    "expect_column_stdev_to_be_between": column_stdev,
    "expect_column_value_z_scores_to_be_less_than": z_scores,
}
