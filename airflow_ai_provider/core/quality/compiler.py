"""From a suite to one SQL statement, and what must go to Great Expectations instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from airflow_ai_provider.core.quality.aggregates import COLUMN_LEVEL
from airflow_ai_provider.core.quality.catalogue import CATALOGUE
from airflow_ai_provider.core.quality.check import (
    RELATION,
    ROWS,
    SHOWN,
    Check,
    Extent,
    NotCompiledError,
    Sample,
    Schema,
)
from airflow_ai_provider.core.quality.duplicates import UNIQUE
from airflow_ai_provider.core.quality.filters import guarded, rows_of
from airflow_ai_provider.core.quality.ordered import ORDERED, ROW_NUMBER
from airflow_ai_provider.core.quality.records import RECORD_LEVEL
from airflow_ai_provider.core.quality.rows import ROW_LEVEL
from airflow_ai_provider.core.quality.sql import Column, text
from airflow_ai_provider.core.quality.suite import Expectation, Suite
from airflow_ai_provider.core.quality.tables import TABLE_LEVEL
from airflow_ai_provider.core.quality.types import TYPES
from airflow_ai_provider.core.quality.z_scores import Z_SCORES

COMPILED = {
    **TABLE_LEVEL,
    **COLUMN_LEVEL,
    **ORDERED,
    **Z_SCORES,
    **ROW_LEVEL,
    **RECORD_LEVEL,
    **UNIQUE,
    **TYPES,
}
FAILED_COLUMN = "failed_expectations"  # what a quarantined row failed
READS = 150  # figures of one statement: DuckDB's time for more grows faster than their number


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """An expectation that goes to Great Expectations, and why."""

    expectation: Expectation
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A compiled suite: its checks, and what is left over."""

    checks: tuple[Check, ...]
    leftovers: tuple[Leftover, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """The aggregates to read, each once; the number of rows is always the first."""
        return tuple(dict.fromkeys([ROWS, *(r for c in self.checks for r in c.reads)]))

    @property
    def statements(self) -> tuple[tuple[tuple[str, ...], str], ...]:
        """The statements, one unless the suite is huge, whose single row holds what each reads."""
        reads = self.reads
        parts = (reads[i : i + READS] for i in range(0, len(reads), READS))
        return tuple((part, f"SELECT {', '.join(part)} FROM {RELATION}") for part in parts)  # noqa: S608


def compile_suite(
    suite: Suite,
    columns: Sequence[Column],
    *,
    count: int | None = None,
    extent: Callable[[Column], Extent | None] = lambda _: None,
) -> Plan:
    """Return ``suite`` compiled against data with ``columns``.

    ``count`` is how many rows there are, and ``extent`` gives the least and the greatest value of a
    column of integers, each where it is known without looking at the data.

    :raises SuiteError: an expectation looks at a column that is not there.
    """
    schema = Schema(suite=suite, columns=columns, count=count, extent=extent)
    checks: list[Check] = []
    leftovers: list[Leftover] = []
    for expectation in suite.expectations:
        _need_columns(expectation, schema)
        try:
            checks.append(_compile(expectation, schema))
        except NotCompiledError as reason:
            leftovers.append(Leftover(expectation=expectation, reason=str(reason)))
    return Plan(checks=tuple(checks), leftovers=tuple(leftovers))


def all_left_over(suite: Suite, columns: Sequence[Column]) -> Plan:
    """Return the plan that leaves the whole suite to Great Expectations, as the caller asked."""
    schema = Schema(suite=suite, columns=columns)
    for expectation in suite.expectations:
        _need_columns(expectation, schema)
    return Plan(
        checks=(),
        leftovers=tuple(Leftover(expectation=e, reason="asked for") for e in suite.expectations),
    )


def _need_columns(expectation: Expectation, schema: Schema) -> None:
    if expectation.type != "expect_column_to_exist":
        for name in expectation.columns:
            schema.need(expectation, name)


def _compile(expectation: Expectation, schema: Schema) -> Check:
    handler = COMPILED.get(expectation.type)
    if handler is None:
        known = expectation.type in CATALOGUE
        raise NotCompiledError("it has no compiled form" if known else "it is a custom expectation")
    rows, columns = rows_of(expectation, schema)
    return guarded(handler(expectation, replace(schema, rows=rows)), columns)


def sample_statement(check: Check) -> str | None:
    """Return the statement that shows some rows that fail ``check``, or None."""
    if check.failing is None or check.sample in {Sample.NONE, Sample.NULLS}:
        return None
    shown = ", ".join(column.sql for column in check.shown)
    source = _numbered() if ROW_NUMBER in check.failing else RELATION
    return f"SELECT {shown} FROM {source} WHERE {check.failing} LIMIT {SHOWN}"  # noqa: S608


def _numbered() -> str:
    return f"(SELECT *, row_number() OVER () - 1 AS {ROW_NUMBER} FROM {RELATION}) AS {RELATION}"  # noqa: S608


def flagged_statement(failing: Mapping[str, str]) -> str:
    """Return the statement that adds ``failed_expectations`` to every row.

    ``failing`` maps an expectation's label to its predicate. The column is a list of labels, empty
    for a row that failed none.
    """
    listed = " || ".join(
        ["[]::VARCHAR[]"]
        + [
            f"CASE WHEN {predicate} THEN [{text(label)}] ELSE [] END"
            for label, predicate in failing.items()
        ]
    )
    if ROW_NUMBER not in listed:
        return f"SELECT *, {listed} AS {FAILED_COLUMN} FROM {RELATION}"  # noqa: S608
    return f"SELECT * EXCLUDE ({ROW_NUMBER}), {listed} AS {FAILED_COLUMN} FROM {_numbered()}"  # noqa: S608
