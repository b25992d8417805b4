"""Row-level expectations on several columns of a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_ai_provider.core.quality.check import (
    Check,
    Compile,
    Facts,
    NotCompiledError,
    Outcome,
    Sample,
    Schema,
    need,
)
from airflow_ai_provider.core.quality.rows import listed_check
from airflow_ai_provider.core.quality.sql import EXACT_INTEGERS, Column, Family, literal, number
from airflow_ai_provider.core.quality.suite import Expectation

_MOST_PAIRS = 1_000
_MOST_SUMMED = 7  # numpy adds up more than these in an order of its own
_SMALL = EXACT_INTEGERS // 8


def pair_in_set(e: Expectation, schema: Schema) -> Check:
    """The pair of values is one of the set, where None stands for a missing value."""
    columns = [schema.column(e, e.kwargs[name]) for name in ("column_A", "column_B")]
    pairs = e.kwargs["value_pairs_set"]
    if not isinstance(pairs, (list, tuple, set)) or len(pairs) > _MOST_PAIRS:
        raise NotCompiledError("the set is none, or a huge one")
    parts = []
    for pair in pairs:
        if len(pair) != 2:
            raise NotCompiledError("the set holds no pairs")
        a, b = (_same(c, v) for c, v in zip(columns, pair, strict=True))
        parts.append(f"({a} AND {b})")
    met = f"({' OR '.join(parts)})" if parts else "false"
    unless = e.kwargs.get("ignore_row_if", "both_values_are_missing")
    return listed_check(e, schema, columns, met, unless=unless, sample=Sample.PAIR)


def _same(column: Column, value: Any) -> str:
    need(column, Family.INTEGER, Family.FLOAT, Family.TEXT)
    if value is None:
        return f"{column.sql} IS NULL"
    wanted = (str,) if column.family is Family.TEXT else (int, float)
    if not isinstance(value, wanted) or isinstance(value, bool) or value != value:  # noqa: PLR0124
        raise NotCompiledError(f"the set holds another kind of value than column {column.name}")
    if isinstance(value, str) and "\0" in value:
        raise NotCompiledError("the set holds a null character")
    return f"{column.sql} IS NOT DISTINCT FROM {literal(value)}"


def _several(e: Expectation, schema: Schema) -> tuple[list[Column], str]:
    columns = [schema.column(e, name) for name in e.kwargs["column_list"]]
    if len({c.name for c in columns}) < len(columns):
        raise NotCompiledError("a column is named twice")
    return columns, e.kwargs.get("ignore_row_if", "all_values_are_missing")


def _need_one_kind(columns: Sequence[Column]) -> None:
    families = {c.family for c in columns}
    if not families <= {Family.INTEGER, Family.FLOAT} and families != {Family.TEXT}:
        raise NotCompiledError(f"columns are {', '.join(c.type for c in columns)}")


def several_equal(e: Expectation, schema: Schema) -> Check:
    """All columns hold the same in every row; missing equals missing."""
    columns, unless = _several(e, schema)
    _need_one_kind(columns)
    first, *others = columns
    same = " AND ".join(f"{c.sql} IS NOT DISTINCT FROM {first.sql}" for c in others)
    return listed_check(e, schema, columns, f"({same})", unless=unless)


def several_differ(e: Expectation, schema: Schema) -> Check:
    """No two of the columns hold the same in a row; missing equals missing."""
    columns, unless = _several(e, schema)
    _need_one_kind(columns)
    alike = " OR ".join(
        f"{a.sql} IS NOT DISTINCT FROM {b.sql}"
        for i, a in enumerate(columns)
        for b in columns[i + 1 :]
    )
    return listed_check(e, schema, columns, f"(NOT ({alike}))", unless=unless)


def several_sum(e: Expectation, schema: Schema) -> Check:
    """The columns add up to the total in every row; with a missing value they do not."""
    columns, unless = _several(e, schema)
    for column in columns:
        need(column, Family.INTEGER, Family.FLOAT)
    total = e.kwargs["sum_total"]
    if isinstance(total, bool) or not isinstance(total, (int, float)):
        raise NotCompiledError("sum_total is no number")
    if len(columns) > _MOST_SUMMED:
        raise NotCompiledError(f"more than {_MOST_SUMMED} columns are added up in another order")
    added = " + ".join(f"{c.sql}::DOUBLE" for c in columns)
    met = f"coalesce({added} = {number(total)}, false)"
    check = listed_check(e, schema, columns, met, unless=unless)
    judge = check.judge

    def careful(facts: Facts) -> Outcome:
        for column in (c for c in columns if c.wide):
            edges = (facts[f"{edge}({column.sql})"] for edge in ("min", "max"))
            if any(edge is not None and abs(edge) > _SMALL for edge in edges):
                return Outcome(unsure=f"column {column.name} holds integers beyond 2^50")
        return judge(facts)

    return Check(
        expectation=e,
        reads=check.reads,
        judge=careful,
        failing=check.failing,
        shown=check.shown,
        sample=check.sample,
    )


RECORD_LEVEL: dict[str, Compile] = {
    "expect_column_pair_values_to_be_in_set": pair_in_set,
    "expect_multicolumn_values_to_be_equal": several_equal,
    "expect_multicolumn_sum_to_equal": several_sum,
    "expect_select_column_values_to_be_unique_within_record": several_differ,
}
