"""One look at a table through one suite: one aggregate statement, and what it calls for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import DataReadError
from airflow_ai_provider.core.quality.check import SHOWN, Outcome, Sample
from airflow_ai_provider.core.quality.compiler import FAILED_COLUMN, Leftover
from airflow_ai_provider.core.quality.database.check import TableCheck
from airflow_ai_provider.core.quality.database.compiler import (
    TablePlan,
    first_look,
    kept_apart,
    second_look,
)
from airflow_ai_provider.core.quality.report import ExpectationResult, shown_values
from airflow_ai_provider.core.quality.result import Quarantine
from airflow_ai_provider.core.quality.suite import Suite
from airflow_ai_provider.services.quality_fallback import DEFAULT_TIME, Fallback

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.sql_tables import TableData

_BLOCK = 10_000
_TOGETHER = 40  # expectations whose failing rows one statement shows


class TableLook:
    """One look at the table through one suite."""

    def __init__(self, suite: Suite, data: TableData, *, time_limit: float = DEFAULT_TIME) -> None:
        self._suite = suite
        self._time_limit = time_limit
        self._data = data
        self._refused: dict[int, str] = {}  # an expectation's place -> what the database said
        self._failing: dict[int, TableCheck] = {}
        self._undecided: list[Leftover] = []
        self.rows = 0

    def results(self, plan: TablePlan, *, compiled_only: bool) -> list[ExpectationResult]:
        """Return every expectation's result, in the suite's order."""
        fallback = Fallback(self._suite, compiled_only=compiled_only, time_limit=self._time_limit)
        for leftover in plan.leftovers:
            fallback.add(leftover)
        fallback.prepare()  # a slip in the suite shows before the data is read
        found = {result.expectation.index: result for result in self.decided(plan)}
        for leftover in self._undecided:
            fallback.add(leftover)
        for result, _ in fallback.results(self._batch):
            found[result.expectation.index] = result
        return [found[index] for index in sorted(found)]

    def decided(self, plan: TablePlan) -> list[ExpectationResult]:
        """Return the results that the compiled forms are sure of; the others become undecided."""
        facts = self._first(plan.checks)
        self.rows = int(facts["rows"])
        self._more(plan.checks, facts)
        samples = self._second(plan.checks, facts)
        found = []
        for check in plan.checks:
            outcome = self._outcome(check, facts)
            if outcome.unsure is not None:
                self._undecided.append(
                    Leftover(expectation=check.expectation, reason=outcome.unsure)
                )
                continue
            found.append(_result(check, outcome, samples.get(check.expectation.index, [])))
            if not outcome.success:
                self._failing[check.expectation.index] = _made(check, facts)
        return found

    def keep_rows(self, target: str | os.PathLike[str] | None, *, bad: bool) -> Quarantine | None:
        """Write the rows that failed something (or the others); None when none was asked for.

        Rows that fail only what the reference judged are not told apart: it names none of a table.
        """
        checks = [c for c in self._failing.values() if c.failing is not None or c.copies]
        if target is None or (bad and not checks):
            return None
        from airflow_ai_provider.adapters.parquet_rows import write_rows

        names = [column.name for column in self._data.columns]
        statement = kept_apart(checks, names, self._data.relation, bad=bad)
        labels = [check.expectation.label for check in checks]
        blocks = (
            [_labelled(row, len(names), labels, bad=bad) for row in block]
            for block in self._data.stream(statement, _BLOCK)
        )
        path = Path(target)
        try:
            listed = [*names, FAILED_COLUMN] if bad else names
            count = write_rows(listed, blocks, path, lists=FAILED_COLUMN if bad else "")
        except OSError as error:
            raise DataReadError(
                f"Cannot write rows to {path}: {error.strerror or error}.", remedy="Check the path."
            ) from error
        return Quarantine(path=str(path), rows=count)

    def _batch(self) -> Any:
        from airflow_ai_provider.adapters.great_expectations import TableBatch

        source = self._data.source
        return TableBatch(
            url=source.url, table=source.table, schema=source.schema, query=source.query
        )

    def _outcome(self, check: TableCheck, facts: Mapping[str, Any]) -> Outcome:
        refused = self._refused.get(check.expectation.index)
        return Outcome(unsure=refused) if refused else check.judge(facts)

    def _first(self, checks: Sequence[TableCheck]) -> dict[str, Any]:
        """Read the figures; what the database refuses is found by halves and left over."""
        from airflow_ai_provider.adapters.sql_tables import StatementRefusedError

        try:
            facts: dict[str, Any] = {}
            for names, statement in first_look(checks, self._data.relation):
                [row] = self._data.rows(statement)
                facts |= dict(zip(names, row, strict=True))
        except StatementRefusedError as error:
            if len(checks) < 2:
                if not checks:  # nothing but the number of rows was asked
                    raise
                self._refuse(checks[0], error)
                return self._first([])
            half = len(checks) // 2
            return {**self._first(checks[:half]), **self._first(checks[half:])}
        return facts

    def _refuse(self, check: TableCheck, error: Exception) -> None:
        self._refused[check.expectation.index] = f"the database refuses it: {error}"

    def _more(self, checks: Iterable[TableCheck], facts: dict[str, Any]) -> None:
        from airflow_ai_provider.adapters.sql_tables import StatementRefusedError

        for check in checks:
            if check.more is None or check.expectation.index in self._refused:
                continue
            try:
                while new := {n: s for n, s in check.more(facts).items() if n not in facts}:
                    facts |= {name: self._data.rows(s) for name, s in new.items()}
            except StatementRefusedError as error:
                self._refuse(check, error)

    def _second(
        self, checks: Iterable[TableCheck], facts: dict[str, Any]
    ) -> dict[int, list[tuple[Any, ...]]]:
        """Show failing rows and count copies, where the figures call for it."""
        wanted = [_made(c, facts) for c in checks if self._calls(c, facts)]
        found: dict[int, list[tuple[Any, ...]]] = {}
        for start in range(0, len(wanted), _TOGETHER):
            found |= self._shown(wanted[start : start + _TOGETHER], facts)
        return found

    def _shown(
        self, checks: Sequence[TableCheck], facts: dict[str, Any]
    ) -> dict[int, list[tuple[Any, ...]]]:
        from airflow_ai_provider.adapters.sql_tables import StatementRefusedError

        look = second_look(checks, self._data.relation)
        try:
            shown, copies = look.read(self._data.rows(look.statement))
        except StatementRefusedError as error:
            if len(checks) == 1:
                self._refuse(checks[0], error)
                return {}
            half = len(checks) // 2
            return self._shown(checks[:half], facts) | self._shown(checks[half:], facts)
        facts |= copies
        return dict(shown)

    def _calls(self, check: TableCheck, facts: Mapping[str, Any]) -> bool:
        if check.expectation.index in self._refused:
            return False
        if check.repeated is not None:
            return check.repeated(facts)
        shows = check.failing is not None or check.failing_by is not None
        if not shows or check.sample is Sample.NULLS:
            return False
        outcome = check.judge(facts)
        return bool(outcome.result and outcome.result.get("unexpected_count"))


def _made(check: TableCheck, facts: Mapping[str, Any]) -> TableCheck:
    """Return the check with its predicate, now that the figures are known."""
    return replace(check, failing=check.failing_by(facts)) if check.failing_by else check


def _result(
    check: TableCheck, outcome: Outcome, rows: Sequence[tuple[Any, ...]]
) -> ExpectationResult:
    result = dict(outcome.result or {})
    if "element_count" in result:
        result |= shown_values(_values(check, rows, int(result["unexpected_count"])))
    return ExpectationResult(expectation=check.expectation, success=outcome.success, result=result)


def _values(check: TableCheck, rows: Sequence[tuple[Any, ...]], unexpected: int) -> list[Any]:
    if check.sample is Sample.NULLS:
        return [None] * min(SHOWN, unexpected)
    if check.sample is Sample.VALUE:
        return [row[0] for row in rows]
    if check.sample is Sample.PAIR:
        return [list(row) for row in rows]
    names = [column.name for column in check.shown]
    return [dict(zip(names, row, strict=True)) for row in rows]


def _labelled(
    row: tuple[Any, ...], values: int, labels: Sequence[str], *, bad: bool
) -> tuple[Any, ...]:
    if not bad:
        return row[:values]
    failed = [label for label, flag in zip(labels, row[values:], strict=True) if flag]
    return (*row[:values], list(dict.fromkeys(failed)))
