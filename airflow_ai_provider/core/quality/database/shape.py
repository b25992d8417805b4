"""Expectations on a table's shape: how many rows, which columns, of which types."""

from __future__ import annotations

from airflow_ai_provider.core.quality.check import NotCompiledError, Outcome, Schema
from airflow_ai_provider.core.quality.database.check import (
    Compile,
    Rows,
    TableCheck,
    TableSchema,
)
from airflow_ai_provider.core.quality.database.figures import between
from airflow_ai_provider.core.quality.sql import Column
from airflow_ai_provider.core.quality.suite import Expectation
from airflow_ai_provider.core.quality.tables import TABLE_LEVEL


def row_count_between(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """There are as many rows as the bounds say."""
    return TableCheck(
        expectation=e, reads=rows.count, judge=lambda f: between(e, rows.total(f)), rows=rows
    )


def row_count_equal(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """There are exactly so many rows."""
    return TableCheck(
        expectation=e,
        reads=rows.count,
        judge=lambda f: Outcome(
            success=rows.total(f) == e.kwargs["value"], result={"observed_value": rows.total(f)}
        ),
        rows=rows,
    )


def columns_shape(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The table has the columns that are expected; names are compared as they are written."""
    named = [*e.columns, *(e.kwargs.get("column_list") or []), *(e.kwargs.get("column_set") or [])]
    there = {c.name for c in schema.columns}
    folded = {name.casefold() for name in there}
    if any(n not in there and str(n).casefold() in folded for n in named):
        raise NotCompiledError("names differ in case alone, which databases take differently")
    columns = [Column(name=c.name, type=c.type or "") for c in schema.columns]
    settled = TABLE_LEVEL[e.type](e, Schema(suite=schema.suite, columns=columns))
    outcome = settled.judge({})
    return TableCheck(expectation=e, reads={}, judge=lambda _: outcome, rows=rows)


def column_type(e: Expectation, schema: TableSchema, rows: Rows) -> TableCheck:
    """The column is of the type, or of one of the types, by the database's own names."""
    column = schema.column(e, e.kwargs["column"])
    wanted = e.kwargs.get("type_list") if "type_" not in e.kwargs else [e.kwargs["type_"]]
    if column.type is None or not wanted or not all(isinstance(w, str) for w in wanted):
        raise NotCompiledError(f"the type of column {column.name} or what it should be is unknown")
    if rows.condition is not None:
        raise NotCompiledError("a type is no matter of rows")
    if not schema.dialect.type_names:
        raise NotCompiledError(f"{schema.dialect.name} types are compared by SQLAlchemy's classes")
    found, met = column.type, column.type.casefold() in {w.casefold() for w in wanted}
    outcome = Outcome(success=met, result={"observed_value": found})
    return TableCheck(expectation=e, reads={}, judge=lambda _: outcome, rows=rows)


TABLE_SHAPE: dict[str, Compile] = {
    "expect_table_row_count_to_be_between": row_count_between,
    "expect_table_row_count_to_equal": row_count_equal,
    **dict.fromkeys(
        (
            "expect_table_column_count_to_be_between",
            "expect_table_column_count_to_equal",
            "expect_table_columns_to_match_set",
            "expect_table_columns_to_match_ordered_list",
            "expect_column_to_exist",
        ),
        columns_shape,
    ),
    "expect_column_values_to_be_of_type": column_type,
    "expect_column_values_to_be_in_type_list": column_type,
    "expect_column_type_to_be": column_type,
}
