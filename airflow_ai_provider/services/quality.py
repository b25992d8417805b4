"""The data gate: look at data through a suite, decide, keep the failing rows apart."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import QualityError
from airflow_ai_provider.core.quality.catalogue import CATALOGUE
from airflow_ai_provider.core.quality.compiler import Leftover, Plan, all_left_over, compile_suite
from airflow_ai_provider.core.quality.report import ExpectationResult, QualityReport
from airflow_ai_provider.core.quality.result import DataSeen, QualityResult, Quarantine
from airflow_ai_provider.core.quality.suite import Severity, Suite
from airflow_ai_provider.services.quality_criteria import (
    Surroundings,
    apart,
    judge,
    need_own_columns,
    need_table,
)
from airflow_ai_provider.services.quality_fallback import DEFAULT_TIME, Fallback, not_compiled
from airflow_ai_provider.services.quality_look import Look, keep_rows
from airflow_ai_provider.services.quality_pictures import with_pictures
from airflow_ai_provider.services.quality_seen import seen_of
from airflow_ai_provider.services.suites import load_suite

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.duckdb import DuckDBData
    from airflow_ai_provider.adapters.sql_tables import SqlSource
    from airflow_ai_provider.core.quality.database.check import TableSchema
    from airflow_ai_provider.core.quality.database.compiler import TablePlan

__all__ = ["DataSeen", "QualityResult", "Quarantine", "SqlSource", "check", "load_suite"]

ENGINES = ("auto", "compiled", "great_expectations")


def __getattr__(name: str) -> Any:
    """Give ``SqlSource`` from here without SQLAlchemy's import where nobody asks for it."""
    if name == "SqlSource":
        from airflow_ai_provider.adapters.sql_tables import SqlSource

        return SqlSource
    raise AttributeError(name)


def check(
    data: Any,
    suite: Any,
    *,
    engine: str = "auto",
    fail_on: str | Severity = Severity.CRITICAL,
    suite_parameters: Mapping[str, Any] | None = None,
    quarantine_path: str | os.PathLike[str] | None = None,
    good_rows_path: str | os.PathLike[str] | None = None,
    dataset: str | None = None,
    partition: str | None = None,
    project: str | None = None,
    allow_empty: bool = False,
    shown_as: str | None = None,
    version: str | None = None,
    versions: Mapping[str, str] | None = None,
    memory_limit: str | None = None,
    around: Surroundings | None = None,
    time_limit: float = DEFAULT_TIME,
    pictures: bool = False,
) -> QualityResult:
    """Look at ``data`` through ``suite`` and decide.

    ``data`` is the path of files (one, a glob, a folder), a ``SqlSource`` (a table or a query,
    which stays in its database), or a frame of pandas, polars or Arrow. ``suite`` is what
    ``load_suite`` takes. ``engine``: ``auto`` compiles what has the same meaning in SQL and leaves
    the rest to Great Expectations; ``compiled`` refuses a suite that is not compiled whole;
    ``great_expectations`` leaves everything to it. ``fail_on`` is the severity from which a failure
    refuses, and ``allow_empty`` lets data without rows pass where the suite says nothing of their
    number. ``shown_as`` is the address to report where ``data`` is a local copy, ``version`` the
    version of what was copied, ``versions`` those of several files by their names. ``time_limit``
    is in seconds, for each statement. ``memory_limit`` is DuckDB's (``"1GiB"``): unless given, what
    the pod leaves, 2 GiB at most; it spills what is more. ``around`` is what our own expectations
    (``core.quality.own``) need besides the data. ``pictures``: read files and frames once more for
    a picture of each failure; a table is not read again.

    Rows that fail a row-level expectation which itself failed go to ``quarantine_path`` as Parquet,
    with the column ``failed_expectations`` (a list of text); the others to ``good_rows_path``.

    :raises SuiteError: the suite means nothing, or could not be evaluated.
    :raises DataReadError: the data is absent, cut short or malformed, or the database was lost.
    """
    limit = Severity.of(fail_on)
    read = load_suite(suite, suite_parameters=suite_parameters)
    if engine not in ENGINES:
        raise QualityError(
            f"There is no engine {engine!r}.", remedy=f"Use one of {', '.join(ENGINES)}."
        )
    about: dict[str, Any] = {
        "dataset": dataset,
        "partition": partition,
        "project": project,
        "fail_on": limit,
        "allow_empty": allow_empty,
    }
    how: dict[str, Any] = {
        "engine": engine,
        "time_limit": time_limit,
        "kept": (quarantine_path, good_rows_path),
        "around": around or Surroundings(),
    }
    if type(data).__name__ == "SqlSource":
        return _check_table(data, read, **how, **about)
    shown = (shown_as, version, versions or {})
    return _check_files(
        data, read, memory_limit=memory_limit, shown=shown, pictures=pictures, **how, **about
    )


Kept = tuple["str | os.PathLike[str] | None", "str | os.PathLike[str] | None"]


def _check_files(
    data: Any,
    suite: Suite,
    *,
    engine: str,
    time_limit: float,
    memory_limit: str | None,
    shown: tuple[str | None, str | None, Mapping[str, str]],
    kept: Kept,
    around: Surroundings,
    pictures: bool,
    **about: Any,
) -> QualityResult:
    from airflow_ai_provider.adapters.duckdb import open_data
    from airflow_ai_provider.adapters.frames import is_frame, open_frame

    others, own = apart(suite)
    _need_known(others, engine)
    opening = open_frame if is_frame(data) else open_data
    with opening(data, memory_limit=memory_limit) as opened:
        need_own_columns(suite, own, [column.name for column in opened.columns])
        plan = _plan(others, opened, engine)
        looked = Look(others, opened, time_limit=time_limit)
        results = looked.results(plan, compiled_only=engine == "compiled")
        if own:
            from airflow_ai_provider.adapters.drift_duckdb import DuckDBLooked

            results = _in_order(results, judge(suite, own, DuckDBLooked(opened), around))
        if pictures:
            results = with_pictures(results, suite, opened, looked.predicates)
        seen = seen_of(opened.files, looked.rows, *shown)
        opened.files.need_unchanged()
        report = QualityReport(suite=suite, results=tuple(results), meta={"data": seen.evidence()})
        result = QualityResult(report=report, data=seen, **about)
        failing = looked.failing(result.report)
        return replace(
            result,
            quarantine=keep_rows(opened, failing, kept[0], bad=True),
            good_rows=keep_rows(opened, failing, kept[1], bad=False),
        )


def _in_order(
    some: Sequence[ExpectationResult], more: Sequence[ExpectationResult]
) -> list[ExpectationResult]:
    """Return the results as the suite has their expectations."""
    return sorted([*some, *more], key=lambda result: result.expectation.index)


def _check_table(
    source: SqlSource,
    suite: Suite,
    *,
    engine: str,
    time_limit: float,
    kept: Kept,
    around: Surroundings,
    **about: Any,
) -> QualityResult:
    from airflow_ai_provider.adapters.sql_tables import open_table
    from airflow_ai_provider.core.quality.database.check import TableSchema
    from airflow_ai_provider.services.quality_table import TableLook

    others, own = apart(suite)
    need_table(suite, own)
    _need_known(others, engine)
    with open_table(source, time_limit=time_limit) as opened:
        schema = TableSchema(
            suite=others,
            columns=opened.columns,
            source=opened.relation,
            dialect=opened.dialect,
        )
        need_own_columns(suite, own, [column.name for column in opened.columns])
        looked = TableLook(others, opened, time_limit=time_limit)
        results = looked.results(_table_plan(schema, engine), compiled_only=engine == "compiled")
        if own:
            from airflow_ai_provider.adapters.drift_table import TableLooked

            results = _in_order(
                results, judge(suite, own, TableLooked(opened, looked.rows), around)
            )
        seen = DataSeen(
            path=source.address,
            rows=looked.rows,
            kind="query" if source.query is not None else "table",
            looked_at=opened.looked_at,
            snapshot=opened.snapshot,
            query_digest=source.query_digest,
        )
        report = QualityReport(suite=suite, results=tuple(results), meta={"data": seen.evidence()})
        return QualityResult(
            report=report,
            data=seen,
            quarantine=looked.keep_rows(kept[0], bad=True),
            good_rows=looked.keep_rows(kept[1], bad=False),
            **about,
        )


def _table_plan(schema: TableSchema, engine: str) -> TablePlan:
    from airflow_ai_provider.core.quality.database.compiler import (
        TablePlan,
        compile_table,
        need_columns,
    )

    if engine != "great_expectations":
        return compile_table(schema)
    asked = schema.suite.expectations
    for expectation in asked:
        need_columns(expectation, schema)
    left = (Leftover(expectation=e, reason="asked for") for e in asked)
    return TablePlan(schema=schema, checks=(), leftovers=tuple(left))


def _need_known(suite: Suite, engine: str) -> None:
    """Find expectations that nobody knows before anything is opened.

    Great Expectations knows the custom ones that were imported.
    """
    unknown = [e for e in suite.expectations if e.type not in CATALOGUE]
    if unknown:
        fallback = Fallback(suite, compiled_only=engine == "compiled")
        for expectation in unknown:
            fallback.add(Leftover(expectation=expectation, reason="it is a custom expectation"))
        fallback.prepare()


def _plan(suite: Suite, data: DuckDBData, engine: str) -> Plan:
    if engine == "great_expectations":
        return all_left_over(suite, data.columns)
    plan = compile_suite(suite, data.columns, count=data.count, extent=data.extent)
    if engine == "compiled" and plan.leftovers:
        raise not_compiled(suite, plan.leftovers[0])
    return plan
