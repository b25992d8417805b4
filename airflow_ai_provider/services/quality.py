"""The data gate: look at data through a suite, decide, keep the failing rows apart."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import (
    DataQualityGateError,
    DataReadError,
    QualityError,
    SuiteError,
)
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.core.quality.check import SHOWN, Check, Outcome, Sample
from airflow_ai_provider.core.quality.compiler import (
    FAILED_COLUMN,
    ROW_NUMBER,
    Leftover,
    Plan,
    all_left_over,
    compile_suite,
    flagged_statement,
    sample_statement,
)
from airflow_ai_provider.core.quality.report import (
    GREAT_EXPECTATIONS,
    ExpectationResult,
    QualityReport,
    fitted,
    shown_values,
)
from airflow_ai_provider.core.quality.suite import Expectation, Severity, Suite, parse_suite
from airflow_ai_provider.core.quality.values import json_safe

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.duckdb import DuckDBData

ENGINES = ("auto", "compiled", "great_expectations")
DECIDED_BY = "DataQualityGateOperator"


@dataclass(frozen=True, kw_only=True)
class DataSeen:
    """Exactly which data the gate saw: enough to find the same data again."""

    path: str
    size: int
    digest: str
    rows: int
    files: int = 1


@dataclass(frozen=True, kw_only=True)
class Quarantine:
    """Where the failing rows went, and how many."""

    path: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class QualityResult:
    """What the gate decided, and everything it saw."""

    report: QualityReport
    data: DataSeen
    fail_on: Severity
    dataset: str | None = None
    partition: str | None = None
    project: str | None = None
    quarantine: Quarantine | None = None
    good_rows: Quarantine | None = None

    @property
    def verdict(self) -> Verdict:
        """Fail when an expectation of ``fail_on`` or worse failed, warn when a lesser one did."""
        return self.report.verdict(self.fail_on)

    @property
    def success(self) -> bool:
        """Whether the data may pass."""
        return self.verdict.lets_pass

    @property
    def subject(self) -> str:
        """The URI of what was judged: the data set's partition, or the file."""
        if self.dataset:
            return (
                f"ai-data://{self.dataset}/{self.partition}"
                if self.partition
                else (f"ai-data://{self.dataset}")
            )
        path = self.data.path
        return path if "://" in path else Path(path).absolute().as_uri()

    def compact(self) -> dict[str, Any]:
        """Return the report for XCom: JSON-safe, under 8 KiB; ``record`` is filled in later."""
        report = {
            "success": self.success,
            "verdict": self.verdict.value,
            "dataset": self.dataset,
            "partition": self.partition,
            "data": {
                "path": self.data.path,
                "size": self.data.size,
                "digest": self.data.digest,
                "rows": self.data.rows,
            },
            "suite": self.report.suite.name,
            "engine": self.report.engine,
            "evaluated": len(self.report.results),
            "failed": [r.brief() for r in self.report.failed],
            "quarantine": _written(self.quarantine),
            "record": None,
        }
        if self.good_rows:
            report["good_rows"] = _written(self.good_rows)
        return fitted(json_safe(report))

    def draft(self, *, verdict: Verdict | None = None) -> GateDraft:
        """Return the gate record to be written; ``verdict`` where the caller lets it pass."""
        return GateDraft(
            kind=GateKind.DATA,
            subject=self.subject,
            verdict=verdict or self.verdict,
            criteria=self.report.criteria(self.fail_on),
            evidence={
                "data": vars(self.data),
                "dataset": self.dataset,
                "partition": self.partition,
                "project": self.project,
                "suite": {
                    "name": self.report.suite.name,
                    "digest": self.report.suite.digest,
                    "parameters": dict(self.report.suite.parameters),
                },
                "engine": self.report.engine,
                "fail_on": self.fail_on.value,
                "quarantine": _written(self.quarantine),
            },
            decided_by=DECIDED_BY,
        )

    def error(self, *, record: str | None = None) -> DataQualityGateError:
        """Return the error that carries the failed expectations and the gate record's id."""
        refused = [
            r for r in self.report.failed if r.expectation.severity.rank >= self.fail_on.rank
        ]
        named = "; ".join(f"{r.expectation.label}: {r.sentence()}" for r in refused[:5])
        more = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
        return DataQualityGateError(
            f"{self.subject} failed {len(refused)} of {len(self.report.results)} expectations of "
            f"suite {self.report.suite.name}: {named}{more}",
            remedy=f"Its failing rows are in {self.quarantine.path}."
            if self.quarantine
            else "Ask for a corrected delivery.",
            record=record,
            failed=[r.brief() for r in self.report.failed],
        )


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
) -> QualityResult:
    """Look at ``data`` through ``suite`` and decide.

    ``engine``: ``auto`` compiles what has the same meaning in SQL and leaves the rest to Great
    Expectations; ``compiled`` refuses a suite that is not compiled whole; ``great_expectations``
    leaves everything to it. ``fail_on`` is the severity from which a failure refuses.
    ``shown_as`` is the address to report where ``data`` is a local copy.

    Rows that fail a row-level expectation which itself failed go to ``quarantine_path`` as Parquet,
    with the column ``failed_expectations`` (a list of text); the others to ``good_rows_path``.

    :raises SuiteError: the suite means nothing, or could not be evaluated.
    :raises DataReadError: the data is absent, cut short or malformed.
    """
    from airflow_ai_provider.adapters.duckdb import DEFAULT_MEMORY, open_data

    limit = _fail_on(fail_on)
    read = load_suite(suite, suite_parameters=suite_parameters)
    if engine not in ENGINES:
        raise QualityError(
            f"There is no engine {engine!r}.", remedy=f"Use one of {', '.join(ENGINES)}."
        )
    with open_data(data, memory_limit=memory_limit or DEFAULT_MEMORY) as opened:
        plan = _plan(read, opened, engine)
        looked = _Look(read, opened)
        results = looked.results(plan, compiled_only=engine == "compiled")
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
            quarantine=_keep(opened, failing, quarantine_path, bad=True),
            good_rows=_keep(opened, failing, good_rows_path, bad=False),
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
        raise _not_compiled(suite, plan.leftovers[0])
    return plan


def _not_compiled(suite: Suite, leftover: Leftover) -> SuiteError:
    return suite.error(
        leftover.expectation,
        f"cannot be decided by the compiled engine: {leftover.reason}",
        'Use engine="auto", which leaves it to Great Expectations.',
    )


class _Look:
    """One look at the data through one suite."""

    def __init__(self, suite: Suite, data: DuckDBData) -> None:
        self._suite = suite
        self._data = data
        self._predicates: dict[int, str] = {}  # an expectation's place -> who fails it
        self.rows = 0

    def results(self, plan: Plan, *, compiled_only: bool) -> list[ExpectationResult]:
        """Return every expectation's result, in the suite's order."""
        leftovers = list(plan.leftovers)
        built = self._build(leftovers)  # a slip in the suite shows before the data is read
        facts = dict(zip(plan.reads, self._data.row(plan.statement), strict=True))
        self.rows = int(facts["count(*)"])
        found: dict[int, ExpectationResult] = {}
        for compiled in plan.checks:
            outcome = compiled.judge(facts)
            if outcome.unsure is None:
                found[compiled.expectation.index] = self._compiled(compiled, outcome)
                continue
            leftover = Leftover(expectation=compiled.expectation, reason=outcome.unsure)
            if compiled_only:
                raise _not_compiled(self._suite, leftover)
            leftovers.append(leftover)
            built |= self._build([leftover])
        for result in self._others(leftovers, built):
            found[result.expectation.index] = result
        return [found[index] for index in sorted(found)]

    def failing(self, report: QualityReport) -> dict[str, str]:
        """Return who fails each failed row-level expectation, by its label."""
        found: dict[str, str] = {}
        for result in report.results:
            predicate = self._predicates.get(result.expectation.index)
            if result.success or predicate is None:
                continue
            label = result.expectation.label
            found[label] = f"{found[label]} OR {predicate}" if label in found else predicate
        return found

    def _compiled(self, compiled: Check, outcome: Outcome) -> ExpectationResult:
        result = dict(outcome.result or {})
        if compiled.failing:
            self._predicates[compiled.expectation.index] = compiled.failing
        if "element_count" in result:
            result |= self._sample(compiled, int(result["unexpected_count"]))
        return ExpectationResult(
            expectation=compiled.expectation, success=outcome.success, result=result
        )

    def _sample(self, compiled: Check, unexpected: int) -> dict[str, Any]:
        if unexpected == 0:
            return shown_values([])
        if compiled.sample is Sample.NULLS:
            return shown_values([None] * min(SHOWN, unexpected))
        statement = sample_statement(compiled)
        rows = self._data.rows(statement) if statement else []
        if compiled.sample is Sample.VALUE:
            return shown_values([row[0] for row in rows])
        if compiled.sample is Sample.PAIR:
            return shown_values([list(row) for row in rows])
        names = [column.name for column in compiled.shown]
        return shown_values([dict(zip(names, row, strict=True)) for row in rows])

    def _build(self, leftovers: Sequence[Leftover]) -> dict[int, Any]:
        if not leftovers:
            return {}
        from airflow_ai_provider.adapters import great_expectations

        return great_expectations.build(self._suite, [item.expectation for item in leftovers])

    def _others(
        self, leftovers: Sequence[Leftover], built: Mapping[int, Any]
    ) -> list[ExpectationResult]:
        if not leftovers:
            return []
        from airflow_ai_provider.adapters import great_expectations

        reasons = {item.expectation.index: item.reason for item in leftovers}
        found = []
        for judged in great_expectations.validate(self._suite, built, self._data.frame()):
            if judged.rows:
                self._predicates[judged.expectation.index] = self._numbered(
                    judged.expectation, judged.rows
                )
            found.append(
                ExpectationResult(
                    expectation=judged.expectation,
                    success=judged.success,
                    result=judged.result,
                    engine=GREAT_EXPECTATIONS,
                    reason=reasons[judged.expectation.index],
                )
            )
        return found

    def _numbered(self, expectation: Expectation, rows: Sequence[int]) -> str:
        table = f"failing_{expectation.index}"
        self._data.add_numbers(table, rows)
        return f"{ROW_NUMBER} IN (SELECT number FROM {table})"  # noqa: S608


def _keep(
    data: DuckDBData,
    failing: Mapping[str, str],
    target: str | os.PathLike[str] | None,
    *,
    bad: bool,
) -> Quarantine | None:
    """Write the rows that failed something (or the others); None when none was asked for."""
    if target is None or (bad and not failing):
        return None
    path = Path(target)
    flagged = flagged_statement(failing)
    which = f"len({FAILED_COLUMN}) {'>' if bad else '='} 0"
    kept = "*" if bad else f"* EXCLUDE ({FAILED_COLUMN})"
    statement = f"SELECT {kept} FROM ({flagged}) WHERE {which}"  # noqa: S608
    try:
        rows = data.write_parquet(statement, path)
    except OSError as error:
        raise DataReadError(
            f"Cannot write rows to {path}: {error.strerror or error}.", remedy="Check the path."
        ) from error
    return Quarantine(path=str(path), rows=rows)


def _written(kept: Quarantine | None) -> dict[str, Any] | None:
    return None if kept is None else {"path": kept.path, "rows": kept.rows}
