"""The data gate: look at data through a suite, decide, keep the failing rows apart."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import QualityError, SuiteError
from airflow_ai_provider.core.quality.compiler import Plan, all_left_over, compile_suite
from airflow_ai_provider.core.quality.report import QualityReport
from airflow_ai_provider.core.quality.result import DataSeen, QualityResult, Quarantine
from airflow_ai_provider.core.quality.suite import Severity, Suite, parse_suite
from airflow_ai_provider.services.quality_criteria import Surroundings, apart, judge
from airflow_ai_provider.services.quality_look import Look, keep_rows, not_compiled

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.duckdb import DuckDBData

__all__ = ["DataSeen", "QualityResult", "Quarantine", "check", "load_suite"]

ENGINES = ("auto", "compiled", "great_expectations")


def load_suite(
    suite: str | os.PathLike[str] | Mapping[str, Any] | Suite,
    *,
    suite_parameters: Mapping[str, Any] | None = None,
) -> Suite:
    """Return the suite at a path, or that a mapping means.

    :raises SuiteError: there is no such file, or it means nothing.
    """
    if isinstance(suite, Suite):
        return suite
    if isinstance(suite, Mapping):
        return parse_suite(suite, parameters=suite_parameters)
    path = Path(suite)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SuiteError(
            f"Cannot read the suite {path}: {error.strerror or error}.",
            remedy="Check the path.",
            suite=str(path),
        ) from error
    return parse_suite(content, name=path.stem, parameters=suite_parameters)


def check(
    data: str | os.PathLike[str],
    suite: str | os.PathLike[str] | Mapping[str, Any] | Suite,
    *,
    engine: str = "auto",
    fail_on: str | Severity = Severity.CRITICAL,
    suite_parameters: Mapping[str, Any] | None = None,
    quarantine_path: str | os.PathLike[str] | None = None,
    good_rows_path: str | os.PathLike[str] | None = None,
    dataset: str | None = None,
    partition: str | None = None,
    project: str | None = None,
    shown_as: str | None = None,
    memory_limit: str | None = None,
    around: Surroundings | None = None,
) -> QualityResult:
    """Look at ``data`` through ``suite`` and decide.

    ``engine``: ``auto`` compiles what has the same meaning in SQL and leaves the rest to Great
    Expectations; ``compiled`` refuses a suite that is not compiled whole; ``great_expectations``
    leaves everything to it. ``fail_on`` is the severity from which a failure refuses.
    ``shown_as`` is the address to report where ``data`` is a local copy. ``around`` is what our own
    expectations (``core.quality.own``) need besides the data.

    Rows that fail a row-level expectation which itself failed go to ``quarantine_path`` as Parquet,
    with the column ``failed_expectations`` (a list of text); the others to ``good_rows_path``.

    :raises SuiteError: the suite means nothing, or could not be evaluated.
    :raises DataReadError: the data is absent, cut short or malformed.
    """
    from airflow_ai_provider.adapters.drift_duckdb import DuckDBLooked
    from airflow_ai_provider.adapters.duckdb import DEFAULT_MEMORY, open_data

    limit = _fail_on(fail_on)
    read = load_suite(suite, suite_parameters=suite_parameters)
    if engine not in ENGINES:
        raise QualityError(
            f"There is no engine {engine!r}.", remedy=f"Use one of {', '.join(ENGINES)}."
        )
    with open_data(data, memory_limit=memory_limit or DEFAULT_MEMORY) as opened:
        others, own = apart(read)
        plan = _plan(others, opened, engine)
        looked = Look(others, opened)
        results = looked.results(plan, compiled_only=engine == "compiled")
        if own:
            results += judge(read, own, DuckDBLooked(opened), around or Surroundings())
            results.sort(key=lambda result: result.expectation.index)
        opened.files.need_unchanged()
        seen = DataSeen(
            path=shown_as or opened.files.path,
            size=opened.files.size,
            digest=opened.files.digest,
            rows=looked.rows,
            files=len(opened.files.files),
        )
        result = QualityResult(
            report=QualityReport(suite=read, results=tuple(results), meta={"data": vars(seen)}),
            data=seen,
            fail_on=limit,
            dataset=dataset,
            partition=partition,
            project=project,
        )
        failing = looked.failing(result.report)
        return replace(
            result,
            quarantine=keep_rows(opened, failing, quarantine_path, bad=True),
            good_rows=keep_rows(opened, failing, good_rows_path, bad=False),
        )


def _fail_on(said: str | Severity) -> Severity:
    try:
        return Severity(said)
    except ValueError:
        raise QualityError(
            f"There is no severity {said!r}.", remedy="Use critical, warning or info."
        ) from None


def _plan(suite: Suite, data: DuckDBData, engine: str) -> Plan:
    if engine == "great_expectations":
        return all_left_over(suite, data.columns)
    plan = compile_suite(suite, data.columns)
    if engine == "compiled" and plan.leftovers:
        raise not_compiled(suite, plan.leftovers[0])
    return plan
