"""From a suite to the statements that a database answers, and what must go elsewhere instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.quality.catalogue import CATALOGUE
from airflow_ai_provider.core.quality.check import SHOWN, NotCompiledError
from airflow_ai_provider.core.quality.compiler import Leftover
from airflow_ai_provider.core.quality.database.check import (
    Compile,
    Expression,
    TableCheck,
    TableSchema,
)
from airflow_ai_provider.core.quality.database.conditions import ALL_ROWS, rows_of
from airflow_ai_provider.core.quality.database.copies import TABLE_COPIES
from airflow_ai_provider.core.quality.database.figures import TABLE_FIGURES
from airflow_ai_provider.core.quality.database.ordered import TABLE_ORDERED
from airflow_ai_provider.core.quality.database.rows import TABLE_ROWS
from airflow_ai_provider.core.quality.database.several import TABLE_SEVERAL
from airflow_ai_provider.core.quality.database.shape import TABLE_SHAPE
from airflow_ai_provider.core.quality.database.spread import TABLE_SPREAD
from airflow_ai_provider.core.quality.suite import Expectation

TABLE_COMPILED: dict[str, Compile] = {
    **TABLE_SHAPE,
    **TABLE_FIGURES,
    **TABLE_ORDERED,
    **TABLE_SPREAD,
    **TABLE_ROWS,
    **TABLE_SEVERAL,
    **TABLE_COPIES,
}
READS = 400  # figures of one statement: PostgreSQL returns at most 1,664 columns, SQLite 2,000


@dataclass(frozen=True, kw_only=True)
class TablePlan:
    """A suite compiled for a table: its checks, and what is left over."""

    schema: TableSchema
    checks: tuple[TableCheck, ...]
    leftovers: tuple[Leftover, ...]


def compile_table(schema: TableSchema) -> TablePlan:
    """Return the suite compiled against the table.

    :raises SuiteError: an expectation looks at a column that is not there.
    """
    checks: list[TableCheck] = []
    leftovers: list[Leftover] = []
    for expectation in schema.suite.expectations:
        need_columns(expectation, schema)
        try:
            checks.append(_compile(expectation, schema))
        except NotCompiledError as reason:
            leftovers.append(Leftover(expectation=expectation, reason=str(reason)))
    return TablePlan(schema=schema, checks=tuple(checks), leftovers=tuple(leftovers))


def need_columns(expectation: Expectation, schema: TableSchema) -> None:
    """Refuse an expectation on a column that is not there."""
    if expectation.type != "expect_column_to_exist":
        for name in expectation.columns:
            schema.column(expectation, name)


def _compile(expectation: Expectation, schema: TableSchema) -> TableCheck:
    handler = TABLE_COMPILED.get(expectation.type)
    if handler is None:
        known = expectation.type in CATALOGUE
        raise NotCompiledError("it has no compiled form" if known else "it is a custom expectation")
    return handler(expectation, schema, rows_of(expectation, schema))


def first_look(
    checks: Sequence[TableCheck], source: sa.FromClause
) -> list[tuple[tuple[str, ...], sa.Select[Any]]]:
    """Return the aggregate statements, one unless the suite is huge, and what each reads."""
    reads: dict[str, Expression] = dict(ALL_ROWS.count)
    for check in checks:
        for name, expression in check.reads.items():
            reads.setdefault(name, expression)
    names = list(reads)
    found = []
    for start in range(0, len(names), READS):
        some = tuple(names[start : start + READS])
        listed = [reads[n].label(f"r{i}") for i, n in enumerate(some)]
        found.append((some, sa.select(*listed).select_from(source)))
    return found


@dataclass(frozen=True, kw_only=True)
class SecondLook:
    """One statement that shows failing rows and counts copies.

    Each row of its answer is: for each of ``checks`` whether the row fails it, then for each that
    counts copies how many there are, then the values of ``columns``.
    """

    checks: tuple[TableCheck, ...]
    columns: tuple[str, ...]
    statement: sa.Select[Any]

    def read(
        self, answer: Sequence[Sequence[Any]]
    ) -> tuple[Mapping[int, list[tuple[Any, ...]]], dict[str, int]]:
        """Return the shown values by an expectation's place, and the copies by their name."""
        counting = [c for c in self.checks if c.copies]
        shown: dict[int, list[tuple[Any, ...]]] = {c.expectation.index: [] for c in self.checks}
        copies = {c.copied: 0 for c in counting}
        after = len(self.checks) + len(counting)
        for row in answer:
            for i, check in enumerate(counting):
                copies[check.copied] = int(row[len(self.checks) + i] or 0)
            values = dict(zip(self.columns, row[after:], strict=True))
            for i, check in enumerate(self.checks):
                listed = shown[check.expectation.index]
                if row[i] and len(listed) < SHOWN:
                    listed.append(tuple(values[c.name] for c in check.shown))
        return shown, copies


def second_look(checks: Sequence[TableCheck], source: sa.FromClause) -> SecondLook:
    """Return the statement that shows up to twenty rows of each of ``checks`` in one scan.

    A running count beside each flag stops showing an expectation's rows after the twentieth, so
    that nothing more leaves the database.
    """
    names = tuple(dict.fromkeys(c.name for check in checks for c in check.shown))
    counting = [c for c in checks if c.copies]
    flags = [f"f{i}" for i in range(len(checks))]
    flagged = _flagged(checks, names, source).subquery("flagged")
    any_flag = sa.or_(*(flagged.c[flag] == 1 for flag in flags))
    counted: Any = (
        sa.select(
            *flagged.c,
            *(
                sa.func.sum(flagged.c[flag]).over(rows=(None, 0)).label(f"n{i}")
                for i, flag in enumerate(flags)
            ),
            *(
                sa.func.sum(flagged.c[flags[checks.index(c)]]).over().label(f"t{i}")
                for i, c in enumerate(counting)
            ),
        )
        .where(any_flag)
        .subquery("counted")
    )
    early = (
        sa.and_(counted.c[flag] == 1, counted.c[f"n{i}"] <= SHOWN) for i, flag in enumerate(flags)
    )
    statement = sa.select(
        *(counted.c[flag] for flag in flags),
        *(counted.c[f"t{i}"] for i in range(len(counting))),
        *(counted.c[f"v{i}"] for i in range(len(names))),
    ).where(sa.or_(*early))
    return SecondLook(checks=tuple(checks), columns=names, statement=statement)


def _flagged(
    checks: Sequence[TableCheck], names: Sequence[str], source: sa.FromClause
) -> sa.Select[Any]:
    """Return each row's values and, for each check, 1 where the row fails it."""
    copied = {c.name: c for check in checks for c in check.copies}
    if not copied:
        flags = [_flag(check.failing).label(f"f{i}") for i, check in enumerate(checks)]
        values: list[Any] = [sa.column(name).label(f"v{i}") for i, name in enumerate(names)]
        return sa.select(*values, *flags).select_from(source)
    inner = (
        sa.select(
            *(sa.column(name).label(f"v{i}") for i, name in enumerate(names)),
            *(
                _copies(check).label(f"d{i}")
                if check.copies
                else _flag(check.failing).label(f"f{i}")
                for i, check in enumerate(checks)
            ),
        )
        .select_from(source)
        .subquery("looked")
    )
    found: list[Any] = [
        _flag(inner.c[f"d{i}"] > 1).label(f"f{i}") if check.copies else inner.c[f"f{i}"]
        for i, check in enumerate(checks)
    ]
    return sa.select(*(inner.c[f"v{i}"] for i in range(len(names))), *found)


def _flag(predicate: Expression | None) -> sa.Case[Any]:
    return sa.case((predicate if predicate is not None else sa.false(), 1), else_=0)


def _copies(check: TableCheck) -> Expression:
    """Return how often a row's combination comes among the rows that count; else null."""
    whole = check.rows.both(sa.and_(*(c.sql.is_not(None) for c in check.copies)))
    counts = _flag(whole)
    among = sa.func.count().over(partition_by=[*(c.sql for c in check.copies), counts])
    return sa.case((whole, among))


def kept_apart(
    checks: Sequence[TableCheck], names: Sequence[str], source: sa.FromClause, *, bad: bool
) -> sa.Select[Any]:
    """Return the statement of the rows that fail one of ``checks``, or none.

    Each row of its answer is the values of ``names`` and, for each check, 1 where the row fails it.
    """
    flagged = _flagged(checks, names, source).subquery("flagged")
    flags = [flagged.c[f"f{i}"] for i in range(len(checks))]
    which = sa.or_(sa.false(), *(flag == 1 for flag in flags))
    values = [flagged.c[f"v{i}"] for i in range(len(names))]
    return sa.select(*values, *flags).where(which if bad else sa.not_(which))
