"""A row condition as DuckDB sees it, with the meaning that pandas gives it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_ai_provider.core.quality.check import (
    ALL_ROWS,
    Check,
    Facts,
    NotCompiledError,
    Outcome,
    Rows,
    Schema,
    exact,
    inexact,
    need,
)
from airflow_ai_provider.core.quality.conditions import (
    Compared,
    Condition,
    Joined,
    Missing,
    columns_of,
    condition_of,
)
from airflow_ai_provider.core.quality.sql import (
    EXACT_INTEGERS,
    Column,
    Family,
    literal,
    members,
)
from airflow_ai_provider.core.quality.suite import Expectation

# Expectations whose reference leaves their row condition out, in whole or in part.
_LEAVE_IT_OUT = frozenset({"expect_column_pair_values_to_be_in_set"})


def rows_of(e: Expectation, schema: Schema) -> tuple[Rows, tuple[Column, ...]]:
    """Return the rows that ``e`` is about, and the columns that say so.

    :raises NotCompiledError: only pandas reads its row condition.
    :raises SuiteError: the condition looks at a column that is not there.
    """
    condition = condition_of(e, query_text=True)
    if condition is None:
        return ALL_ROWS, ()
    if e.type in _LEAVE_IT_OUT:
        raise NotCompiledError("the reference leaves its row_condition out")
    columns = tuple(schema.column(e, name) for name in dict.fromkeys(columns_of(condition)))
    return Rows(condition=_expression(e, schema, condition)), columns


def guarded(check: Check, columns: tuple[Column, ...]) -> Check:
    """Return ``check``, unsure where a condition's column holds what pandas' floats cannot."""
    if not any(column.wide for column in columns):
        return check
    judge = check.judge

    def guarding(facts: Facts) -> Outcome:
        why = inexact(facts, columns)
        return Outcome(unsure=why) if why else judge(facts)

    return replace(check, reads=(*check.reads, *exact(columns)), judge=guarding)


def _expression(e: Expectation, schema: Schema, condition: Condition) -> str:
    if isinstance(condition, Joined):
        word = " AND " if condition.every else " OR "
        return "(" + word.join(_expression(e, schema, part) for part in condition.parts) + ")"
    column = schema.column(e, condition.column)
    if isinstance(condition, Missing):
        return f"({column.sql} IS {'' if condition.wanted else 'NOT '}NULL)"
    need(column, Family.INTEGER, Family.FLOAT, Family.TEXT)
    return _compared(column, condition)


def _compared(column: Column, condition: Compared) -> str:
    """Return the comparison; a missing value is unlike any other, and nothing else."""
    values = condition.value if condition.operator in {"IN", "NOT_IN"} else [condition.value]
    for value in values:
        _need_alike(column, value)
    if condition.operator == "IN":
        return f"coalesce({members(column.sql, values)}, false)"
    if condition.operator == "NOT_IN":
        return f"coalesce(NOT ({members(column.sql, values)}), true)"
    if condition.operator == "!=":
        return f"({column.sql} IS DISTINCT FROM {literal(condition.value)})"
    operator = "=" if condition.operator == "==" else condition.operator
    return f"coalesce({column.sql} {operator} {literal(condition.value)}, false)"


def _need_alike(column: Column, value: Any) -> None:
    if isinstance(value, str) is not (column.family is Family.TEXT):
        raise NotCompiledError(f"row_condition compares column {column.name} with another kind")
    if isinstance(value, str) and "\0" in value:
        raise NotCompiledError("row_condition holds a null character")
    if isinstance(value, int) and abs(value) > EXACT_INTEGERS:
        raise NotCompiledError("row_condition holds an integer beyond 2^53")
