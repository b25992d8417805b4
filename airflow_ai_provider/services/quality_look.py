"""One look at open data through one suite: what is compiled, what is left over, who fails."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import DataReadError
from airflow_ai_provider.core.quality.check import ROWS, SHOWN, Check, Outcome, Sample
from airflow_ai_provider.core.quality.compiler import (
    FAILED_COLUMN,
    Leftover,
    Plan,
    flagged_statement,
    sample_statement,
)
from airflow_ai_provider.core.quality.ordered import ROW_NUMBER
from airflow_ai_provider.core.quality.report import (
    ExpectationResult,
    QualityReport,
    shown_values,
)
from airflow_ai_provider.core.quality.result import Quarantine
from airflow_ai_provider.core.quality.suite import Expectation, Suite
from airflow_ai_provider.services.quality_fallback import DEFAULT_TIME, Fallback

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.duckdb import DuckDBData


class Look:
    """One look at the data through one suite."""

    def __init__(self, suite: Suite, data: DuckDBData, *, time_limit: float = DEFAULT_TIME) -> None:
        self._suite = suite
        self._data = data
        self._time_limit = time_limit
        self._predicates: dict[int, str] = {}  # an expectation's place -> who fails it
        self.rows = 0

    def results(self, plan: Plan, *, compiled_only: bool) -> list[ExpectationResult]:
        """Return every expectation's result, in the suite's order."""
        fallback = Fallback(self._suite, compiled_only=compiled_only, time_limit=self._time_limit)
        for leftover in plan.leftovers:
            fallback.add(leftover)
        fallback.prepare()  # a slip in the suite shows before the data is read
        facts = self.facts(plan)
        self.rows = int(facts[ROWS])
        found: dict[int, ExpectationResult] = {}
        for compiled in plan.checks:
            outcome = compiled.judge(facts)
            if outcome.unsure is None:
                check = compiled
                if compiled.failing_by:
                    check = replace(compiled, failing=compiled.failing_by(facts))
                found[compiled.expectation.index] = self._compiled(check, outcome)
            else:
                fallback.add(Leftover(expectation=compiled.expectation, reason=outcome.unsure))
        for result, rows in fallback.results(self._data.frame):
            if rows:
                self._predicates[result.expectation.index] = self._numbered(
                    result.expectation, rows
                )
            found[result.expectation.index] = result
        return [found[index] for index in sorted(found)]

    def facts(self, plan: Plan) -> dict[str, Any]:
        """Read the figures, and then what they call for."""
        facts: dict[str, Any] = {}
        for reads, statement in plan.statements:
            facts |= dict(zip(reads, self._data.row(statement), strict=True))
        for check in plan.checks:
            while check.more and (
                new := {n: s for n, s in check.more(facts).items() if n not in facts}
            ):
                facts |= {name: self._data.rows(statement) for name, statement in new.items()}
        return facts

    @property
    def predicates(self) -> Mapping[int, str]:
        """Who fails each row-level expectation, by its place in the suite."""
        return self._predicates

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

    def _numbered(self, expectation: Expectation, rows: Sequence[int]) -> str:
        table = f"failing_{expectation.index}"
        self._data.add_numbers(table, rows)
        return f"{ROW_NUMBER} IN (SELECT number FROM {table})"  # noqa: S608


def keep_rows(
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
