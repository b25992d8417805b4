"""A row condition as a database sees it."""

from __future__ import annotations

import operator
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.quality.conditions import (
    Compared,
    Condition,
    Joined,
    Missing,
    columns_of,
    condition_of,
)
from airflow_ai_provider.core.quality.database.check import Expression, Rows, TableSchema
from airflow_ai_provider.core.quality.suite import Expectation

_OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ALL_ROWS = Rows()


def rows_of(e: Expectation, schema: TableSchema) -> Rows:
    """Return the rows that ``e`` is about.

    :raises NotCompiledError: only the reference reads its row condition.
    :raises SuiteError: the condition looks at a column that is not there.
    """
    condition = condition_of(e, query_text=False)
    if condition is None:
        return ALL_ROWS
    for name in columns_of(condition):
        schema.column(e, name)
    return Rows(condition=_expression(e, schema, condition), key=f" where {condition!r}")


def _expression(e: Expectation, schema: TableSchema, condition: Condition) -> Expression:
    if isinstance(condition, Joined):
        parts = [_expression(e, schema, part) for part in condition.parts]
        return sa.and_(*parts) if condition.every else sa.or_(*parts)
    column: sa.ColumnClause[Any] = schema.column(e, condition.column).sql
    if isinstance(condition, Missing):
        return column.is_(None) if condition.wanted else column.is_not(None)
    return _compared(column, condition)


def _compared(column: sa.ColumnClause[Any], condition: Compared) -> Expression:
    if condition.operator == "IN":
        return column.in_(condition.value)
    if condition.operator == "NOT_IN":
        return ~column.in_(condition.value)
    compared: Expression = _OPERATORS[condition.operator](column, sa.literal(condition.value))
    return compared
