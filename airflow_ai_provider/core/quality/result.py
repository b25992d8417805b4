"""What the data gate decided, and everything it saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.errors import DataQualityGateError
from airflow_ai_provider.core.gate import Criterion, GateDraft, GateKind, Verdict
from airflow_ai_provider.core.quality.report import QualityReport, fitted
from airflow_ai_provider.core.quality.suite import Severity
from airflow_ai_provider.core.quality.values import json_safe

DECIDED_BY = "DataQualityGateOperator"
MOST_PARTS = 1_000


@dataclass(frozen=True, kw_only=True)
class DataSeen:
    """Exactly which data the gate saw: enough to find the same data again.

    Files have ``size``, ``digest`` and ``modified`` or, from an object store, its ``version``; of
    several files the first ``MOST_PARTS`` are listed in the gate record with name, size and digest.
    A table has the time of the look and, on PostgreSQL, the name of the ``snapshot``; a query the
    SHA-256 of its text as well. A frame has the digest of its values.
    """

    path: str
    rows: int
    size: int | None = None
    digest: str | None = None
    files: int = 1
    kind: str = "files"
    modified: str | None = None
    version: str | None = None
    looked_at: str | None = None
    snapshot: str | None = None
    query_digest: str | None = None
    parts: tuple[Mapping[str, Any], ...] = ()

    def evidence(self) -> dict[str, Any]:
        """Return what is known, but for the single files."""
        always = ("path", "size", "digest", "rows")
        known = {k: v for k, v in vars(self).items() if v is not None or k in always}
        del known["parts"]
        return known

    def recorded(self) -> dict[str, Any]:
        """Return what is known, for a gate record."""
        listed = [dict(part) for part in self.parts[:MOST_PARTS]]
        return {**self.evidence(), "parts": listed} if listed else self.evidence()


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
    allow_empty: bool = False

    @property
    def saw_nothing(self) -> bool:
        """Whether there was no row to look at, and nobody said that this is well.

        Of no rows almost every expectation is true. An expectation on the number of rows says what
        is well, and so does ``allow_empty``.
        """
        counted = any("table_row_count" in r.expectation.type for r in self.report.results)
        return self.data.rows == 0 and not (counted or self.allow_empty)

    @property
    def verdict(self) -> Verdict:
        """Fail when an expectation of ``fail_on`` or worse failed, warn when a lesser one did.

        Data without rows fail too: see ``saw_nothing``.
        """
        return Verdict.FAIL if self.saw_nothing else self.report.verdict(self.fail_on)

    @property
    def success(self) -> bool:
        """Whether the data may pass."""
        return self.verdict.lets_pass

    @property
    def subject(self) -> str:
        """The URI of what was judged: the data set's partition, or the file."""
        return subject_of(self.data, self.dataset, self.partition)

    def compact(self) -> dict[str, Any]:
        """Return the report for XCom: JSON-safe, under 8 KiB; ``record`` is filled in later."""
        report = {
            "success": self.success,
            "verdict": self.verdict.value,
            "dataset": self.dataset,
            "partition": self.partition,
            "data": self.data.evidence(),
            "suite": self.report.suite.name,
            "engine": self.report.engine,
            "evaluated": len(self.report.results),
            "score": self.report.score,
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
            criteria=self._criteria(),
            evidence={
                "data": self.data.recorded(),
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
        if self.saw_nothing:
            return DataQualityGateError(
                f"{self.subject} has no rows: there was nothing to hold to suite "
                f"{self.report.suite.name}.",
                remedy="Look for the delivery. Where no rows are well, say so in the suite with "
                "expect_table_row_count_to_be_between, or allow_empty=True.",
                record=record,
                failed=[r.brief() for r in self.report.failed],
            )
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

    def _criteria(self) -> tuple[Criterion, ...]:
        found = self.report.criteria(self.fail_on)
        if not self.saw_nothing:
            return found
        rows = Criterion(
            name="rows",
            limit={"min_value": 1},
            observed=0,
            verdict=Verdict.FAIL,
            sentence="The data have no rows: no expectation could look at any.",
        )
        return (rows, *found)


def subject_of(data: DataSeen, dataset: str | None, partition: str | None) -> str:
    """Return the URI of what was judged: the data set's partition, or the file."""
    if dataset:
        return f"ai-data://{dataset}/{partition}" if partition else f"ai-data://{dataset}"
    return data.path if "://" in data.path else Path(data.path).absolute().as_uri()


def _written(kept: Quarantine | None) -> dict[str, Any] | None:
    return None if kept is None else {"path": kept.path, "rows": kept.rows}
