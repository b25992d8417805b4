"""A picture for each failed expectation, while the data is still open."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_ai_provider.core.errors import QualityError
from airflow_ai_provider.core.quality.check import NotCompiledError, Schema
from airflow_ai_provider.core.quality.filters import rows_of
from airflow_ai_provider.core.quality.page.pictures import Picture
from airflow_ai_provider.core.quality.page.statements import (
    bars_of,
    ends_of,
    frequent,
    histogram_of,
    range_of,
)
from airflow_ai_provider.core.quality.report import ExpectationResult
from airflow_ai_provider.core.quality.sql import Family, members
from airflow_ai_provider.core.quality.suite import Expectation, Suite

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.duckdb import DuckDBData

_log = logging.getLogger(__name__)
MOST = 24  # pictures for which the data is read again, the worst failures first
_DISTINCT = (
    "expect_column_distinct_values_to_be_in_set",
    "expect_column_distinct_values_to_equal_set",
)
_KNOWN = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")


def with_pictures(
    results: Sequence[ExpectationResult],
    suite: Suite,
    data: DuckDBData,
    failing: Mapping[int, str],
) -> list[ExpectationResult]:
    """Return ``results``, the failed ones with a picture where one needs the data.

    ``failing`` is the predicate of the rows that fail, by an expectation's place. A picture that
    cannot be drawn is left out and logged: it must not turn a verdict into an error.
    """
    schema = Schema(suite=suite, columns=data.columns)
    failing = {**_outside_sets(results, schema), **failing}
    wanted = [
        r
        for r in results
        if not r.success and r.expectation.index in failing and r.expectation.type not in _KNOWN
    ]
    wanted.sort(key=lambda r: -r.expectation.severity.rank)
    drawn: dict[int, Picture] = {}
    for result in wanted[:MOST]:
        expectation = result.expectation
        try:
            picture = _measured(expectation, schema, data, failing[expectation.index])
        except QualityError as error:
            _log.warning("No picture of %s: %s", expectation.label, error)
            continue
        if picture is not None:
            drawn[expectation.index] = picture
    return [
        replace(r, picture=drawn[r.expectation.index]) if r.expectation.index in drawn else r
        for r in results
    ]


def _outside_sets(results: Sequence[ExpectationResult], schema: Schema) -> dict[int, str]:
    """Return who holds a distinct value outside its set: a statement about no row by itself."""
    found: dict[int, str] = {}
    for result in results:
        e = result.expectation
        if result.success or e.type not in _DISTINCT or not result.result.get("unexpected_count"):
            continue
        allowed = list(e.kwargs.get("value_set") or ())
        column = next((c for c in schema.columns if c.name == e.kwargs.get("column")), None)
        suits = {Family.TEXT: str, Family.INTEGER: int}.get(column.family) if column else None
        if column is None or suits is None or not all(isinstance(v, suits) for v in allowed):
            continue
        outside = f"({column.sql} IS NOT NULL AND NOT ({members(column.sql, allowed)}))"
        try:
            found[e.index] = rows_of(e, schema)[0].both(outside)
        except NotCompiledError:  # which rows it is about only pandas can say
            continue
    return found


def _measured(e: Expectation, schema: Schema, data: DuckDBData, failing: str) -> Picture | None:
    columns = [c for name in e.columns for c in schema.columns if c.name == name]
    if not columns:
        return None
    return _histogram(e, schema, data, failing) or bars_of(data.rows(frequent(columns, failing)))


def _histogram(e: Expectation, schema: Schema, data: DuckDBData, failing: str) -> Picture | None:
    try:
        rows, _ = rows_of(e, schema)
        column = schema.column(e, str(e.kwargs.get("column")))
    except QualityError:  # about no single column
        return None
    except NotCompiledError:  # which rows it is about only pandas can say
        return None
    wanted = range_of(e.type, e.kwargs, column, failing=failing, condition=rows.condition)
    if wanted is None:
        return None
    seen = [None if v is None else float(v) for v in data.row(wanted.bounds)]
    found = ends_of(seen, whole=wanted.whole)
    if found is None:
        return None
    ends, bars = found
    return histogram_of(wanted, seen, ends, bars, data.rows(wanted.counts(ends, bars)))
