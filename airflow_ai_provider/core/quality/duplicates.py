"""Expectations that nothing comes twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from airflow_ai_provider.core.quality.check import (
    COUNTABLE,
    RELATION,
    Check,
    Compile,
    Facts,
    Outcome,
    Rows,
    Sample,
    Schema,
    exact,
    inexact,
    judge_rows,
    need,
)
from airflow_ai_provider.core.quality.distinct import bits_read
from airflow_ai_provider.core.quality.rows import ANY_MISSING, kept_rows
from airflow_ai_provider.core.quality.sql import Column
from airflow_ai_provider.core.quality.suite import Expectation


def be_unique(e: Expectation, schema: Schema) -> Check:
    """No value comes twice; every copy counts as failing."""
    column, rows = schema.column(e, e.kwargs["column"]), schema.rows
    need(column, *COUNTABLE)
    kept = rows.both(f"{column.sql} IS NOT NULL")
    copies = f"SELECT {column.sql} FROM {RELATION} WHERE {kept} GROUP BY 1 HAVING count(*) > 1"  # noqa: S608
    once, counted, later = _Once(schema, column), _copies(rows, column), f"copies {e.index}"

    def unexpected(facts: Facts) -> int:
        if once.met(facts):
            return 0
        return int(facts[later][0][0] if once.in_bits else facts[counted])

    def more(facts: Facts) -> Mapping[str, str]:
        return {later: f"SELECT {counted}"} if once.in_bits and not once.met(facts) else {}

    return Check(
        expectation=e,
        reads=(rows.count, *once.reads, *exact([column])),
        judge=_judge(e, schema, [column], lambda facts: int(facts[once.present]), unexpected),
        more=more,
        failing=rows.both(f"{column.sql} IN ({copies})"),
        shown=(column,),
        sample=Sample.VALUE,
    )


def compound_unique(e: Expectation, schema: Schema) -> Check:
    """No combination of the columns' values comes twice; missing equals missing.

    Where the suite has one of the columns unique by itself, and it is, there is nothing to count.
    """
    columns = [schema.column(e, name) for name in e.kwargs["column_list"]]
    for column in columns:
        need(column, *COUNTABLE)
    rows, unless = schema.rows, e.kwargs.get("ignore_row_if", "all_values_are_missing")
    kept = rows.both(kept_rows(columns, unless))
    names = ", ".join(c.sql for c in columns)
    copies = f"SELECT {names} FROM {RELATION} WHERE {kept} GROUP BY ALL HAVING count(*) > 1"  # noqa: S608
    same = " AND ".join(f"copies.{c.sql} IS NOT DISTINCT FROM {RELATION}.{c.sql}" for c in columns)
    kept_count = rows.where(kept_rows(columns, unless))
    counted = _counted(f"WHERE {kept} GROUP BY {names}")
    proofs = [_Once(schema, c) for c in _unique_in(schema, columns)]
    later = f"compound {e.index}"

    def proved(facts: Facts) -> bool:
        return any(p.met(facts) and facts[p.present] == facts[rows.count] for p in proofs)

    def unexpected(facts: Facts) -> int:
        if not proofs:
            return int(facts[counted])
        return 0 if proved(facts) else int(facts[later][0][0])

    def considered(facts: Facts) -> int:
        if not proofs or unless in ANY_MISSING:
            return int(facts[kept_count])
        return int(facts[rows.count] if proved(facts) else facts[later][0][1])

    def more(facts: Facts) -> Mapping[str, str]:
        if not proofs or proved(facts):
            return {}
        return {later: f"SELECT {counted}, {kept_count} FROM {RELATION}"}  # noqa: S608

    reads = tuple(read for proof in proofs for read in proof.reads) or (counted,)
    if not proofs or unless in ANY_MISSING:
        reads = (*reads, kept_count)
    return Check(
        expectation=e,
        reads=(rows.count, *reads, *exact(columns)),
        judge=_judge(e, schema, columns, considered, unexpected),
        more=more,
        failing=f"({kept} AND EXISTS (SELECT 1 FROM ({copies}) AS copies WHERE {same}))",  # noqa: S608
        shown=tuple(columns),
        sample=Sample.RECORD,
    )


class _Once:
    """Whether each present value of a column comes once: what it reads, and whether it is so.

    In bits the reads tell only that some value comes again, else also how many copies there are.
    """

    def __init__(self, schema: Schema, column: Column) -> None:
        bits = bits_read(schema, column)
        self.in_bits = bits is not None
        self.present = f"count({schema.rows.of(column.sql)})"
        self._read = bits or _copies(schema.rows, column)

    @property
    def reads(self) -> tuple[str, str]:
        """The reads that tell."""
        return (self.present, self._read)

    def met(self, facts: Facts) -> bool:
        """Return whether no value comes twice."""
        return bool(facts[self._read] == (facts[self.present] if self.in_bits else 0))


def _unique_in(schema: Schema, columns: Sequence[Column]) -> list[Column]:
    """Return those of ``columns`` that another expectation on every row wants unique anyway."""
    if schema.rows.condition is not None:
        return []
    wanted = {
        e.kwargs.get("column")
        for e in schema.suite.expectations
        if e.type == "expect_column_values_to_be_unique" and not e.kwargs.get("row_condition")
    }
    return [c for c in columns if c.name in wanted]


def _copies(rows: Rows, column: Column) -> str:
    """Return the read that counts the rows whose present value comes twice or more."""
    kept = rows.both(f"{column.sql} IS NOT NULL")
    return _counted(f"WHERE {kept} GROUP BY {column.sql}")


def _counted(groups: str) -> str:
    return (
        f"(SELECT coalesce(sum(n), 0)::BIGINT FROM (SELECT count(*) AS n FROM {RELATION} {groups} "  # noqa: S608
        f"HAVING count(*) > 1))"
    )


def _judge(
    e: Expectation,
    schema: Schema,
    columns: Sequence[Column],
    considered: Callable[[Facts], int],
    unexpected: Callable[[Facts], int],
) -> Callable[[Facts], Outcome]:
    def judge(facts: Facts) -> Outcome:
        if why := inexact(facts, columns):
            return Outcome(unsure=why)
        failed, counted = unexpected(facts), considered(facts)
        return judge_rows(e, total=facts[schema.rows.count], considered=counted, unexpected=failed)

    return judge


UNIQUE: dict[str, Compile] = {
    "expect_column_values_to_be_unique": be_unique,
    "expect_compound_columns_to_be_unique": compound_unique,
}
