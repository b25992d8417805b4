"""One expectation on a table: what it reads, how it is judged, which rows fail it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.quality.check import (
    Facts,
    NotCompiledError,
    Outcome,
    Sample,
    judge_rows,
    missing_column,
)
from airflow_ai_provider.core.quality.database.dialect import Dialect
from airflow_ai_provider.core.quality.suite import Expectation, Suite

Expression = sa.ColumnElement[Any]
Reads = Mapping[str, Expression]


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """A column of a table or a query.

    ``type`` is as the database names it, None where only a query's result is known; then
    ``shown_type`` may tell it. ``native`` is SQLAlchemy's type of it.
    """

    name: str
    type: str | None = None
    native: Any = None
    shown_type: str | None = None

    @property
    def sql(self) -> sa.ColumnClause[Any]:
        """The column, without a type: values are bound as their own Python type says."""
        return sa.column(self.name)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows that an expectation is about: all, or those that meet its ``row_condition``."""

    condition: Expression | None = None
    key: str = ""  # tells one condition's reads from another's

    def where(self, predicate: Expression | None) -> Expression:
        """Return how many of the rows meet ``predicate``; 0 of none."""
        both = [p for p in (self.condition, predicate) if p is not None]
        if not both:
            return sa.func.count()
        return sa.func.coalesce(sa.func.sum(sa.case((sa.and_(*both), 1), else_=0)), 0)

    def of(self, expression: Expression) -> Expression:
        """Return ``expression`` as an aggregate over these rows alone takes it."""
        if self.condition is None:
            return expression
        return sa.case((self.condition, expression))

    def both(self, predicate: Expression) -> Expression:
        """Return the predicate that a row is one of these and meets ``predicate``."""
        return predicate if self.condition is None else sa.and_(self.condition, predicate)

    @property
    def count(self) -> dict[str, Expression]:
        """The read that counts them."""
        return {f"rows{self.key}": self.where(None)}

    def total(self, facts: Facts) -> int:
        """Return how many there are."""
        return int(facts[f"rows{self.key}"])


@dataclass(frozen=True, kw_only=True)
class TableCheck:
    """A compiled expectation.

    ``reads`` are aggregates over the table by a name; ``failing`` is a predicate that is true of
    each row that fails it; ``failing_by`` makes it when the figures are known. ``copies`` are
    columns whose combinations may come only once, counted in a second look and only where
    ``repeated`` says that it is needed. ``more`` are statements of their own, made when figures are
    known, and again until none is new.
    """

    expectation: Expectation
    reads: Reads
    judge: Callable[[Facts], Outcome]
    rows: Rows = field(default_factory=Rows)
    failing: Expression | None = None
    failing_by: Callable[[Facts], Expression] | None = None
    copies: Sequence[TableColumn] = ()
    repeated: Callable[[Facts], bool] | None = None
    more: Callable[[Facts], Mapping[str, sa.Select[Any]]] | None = None
    shown: Sequence[TableColumn] = ()
    sample: Sample = Sample.NONE

    @property
    def copied(self) -> str:
        """The fact that says how many rows are copies."""
        return f"copies {self.expectation.index}"


@dataclass(frozen=True, kw_only=True)
class TableSchema:
    """The table that a suite is compiled against."""

    suite: Suite
    columns: Sequence[TableColumn]
    source: sa.FromClause
    dialect: Dialect

    def column(self, expectation: Expectation, name: str) -> TableColumn:
        """Return the column ``name``; where none is spelt so, the one that differs in case alone.

        :raises SuiteError: the table has no such column.
        """
        alike = []
        for column in self.columns:
            if column.name == name:
                return column
            if column.name.casefold() == name.casefold():
                alike.append(column)
        if len(alike) == 1:
            return alike[0]
        known = [column.name for column in self.columns]
        raise missing_column(self.suite, expectation, name, known)


Compile = Callable[[Expectation, TableSchema, Rows], TableCheck]


def unexpected(e: Expectation) -> str:
    """Return the name of the fact how many rows fail ``e``."""
    return f"unexpected {e.index}"


def row_check(
    e: Expectation,
    rows: Rows,
    failing: Expression,
    *,
    considered: tuple[str, Expression],
    shown: Sequence[TableColumn],
    sample: Sample,
) -> TableCheck:
    """Return the check that few enough of the rows that ``considered`` counts are ``failing``."""
    name, read = considered

    def judge(facts: Facts) -> Outcome:
        counted, failed = int(facts[name]), int(facts[unexpected(e)])
        return judge_rows(e, total=rows.total(facts), considered=counted, unexpected=failed)

    return TableCheck(
        expectation=e,
        reads={**rows.count, name: read, unexpected(e): rows.where(failing)},
        judge=judge,
        rows=rows,
        failing=rows.both(failing),
        shown=tuple(shown),
        sample=sample,
    )


def refuse_missing(values: Sequence[Any]) -> None:
    """Refuse a set that holds a missing value, which SQL compares in its own way.

    :raises NotCompiledError: it does.
    """
    if any(v is None or v != v for v in values):  # noqa: PLR0124 - NaN differs from itself
        raise NotCompiledError("the set holds a missing value")
