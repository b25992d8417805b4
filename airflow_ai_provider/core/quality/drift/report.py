"""What a drift gate decided, and everything it saw; no value of a row is in it but a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_ai_provider.core.errors import DriftGateError
from airflow_ai_provider.core.gate import Criterion, GateDraft, GateKind, Verdict
from airflow_ai_provider.core.quality.drift.compare import ColumnDrift, Measured
from airflow_ai_provider.core.quality.report import fitted
from airflow_ai_provider.core.quality.result import DataSeen, subject_of
from airflow_ai_provider.core.quality.suite import Severity
from airflow_ai_provider.core.quality.values import json_safe

DECIDED_BY = "DriftGateOperator"


@dataclass(frozen=True, kw_only=True)
class ReferenceSeen:
    """Which reference the data was held to.

    ``profile`` says that it was a stored profile; then ``made_from`` is the digest of the data that
    the profile was made of, and figures carry the error that the profile leaves. A table has no
    digest but the time of the look; a query the digest of its text.
    """

    path: str
    digest: str | None
    rows: int
    profile: bool = False
    made_from: str | None = None
    looked_at: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        found = dict(vars(self))
        return found if self.looked_at else {k: v for k, v in found.items() if k != "looked_at"}


@dataclass(frozen=True, kw_only=True)
class SchemaChange:
    """How the columns differ from the reference's."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    retyped: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def between(cls, reference: Mapping[str, str], now: Mapping[str, str]) -> SchemaChange:
        """Return the change from the types ``reference`` to the types ``now``."""
        return cls(
            added=tuple(name for name in now if name not in reference),
            removed=tuple(name for name in reference if name not in now),
            retyped={
                name: (reference[name], now[name])
                for name in reference
                if name in now and reference[name] != now[name]
            },
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "retyped": {name: list(types) for name, types in self.retyped.items()},
        }


@dataclass(frozen=True, kw_only=True)
class DriftResult:
    """How far the data is from its reference, column by column, and what that means."""

    columns: tuple[ColumnDrift, ...]
    data: DataSeen
    reference: ReferenceSeen
    fail_on: Severity
    schema: SchemaChange = field(default_factory=SchemaChange)
    dataset: str | None = None
    partition: str | None = None
    project: str | None = None

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        """The columns beyond a limit, the worst first."""
        found = [(c, c.severity) for c in self.columns]
        return tuple(c for c, s in sorted(found, key=lambda f: -_rank(f[1])) if s is not None)

    @property
    def verdict(self) -> Verdict:
        """Fail when a limit of ``fail_on`` or worse was passed, warn when a lesser one was."""
        return max(
            (self.judged(c.severity) for c in self.columns), key=_order, default=Verdict.PASS
        )

    @property
    def success(self) -> bool:
        """Whether the data may pass."""
        return self.verdict.lets_pass

    @property
    def subject(self) -> str:
        """The URI of what was judged: the data set's partition, or the file."""
        return subject_of(self.data, self.dataset, self.partition)

    def judged(self, severity: Severity | None) -> Verdict:
        """Return what being beyond the limit of ``severity`` means here."""
        if severity is None:
            return Verdict.PASS
        return Verdict.FAIL if severity.rank >= self.fail_on.rank else Verdict.WARN

    def failed(self) -> list[dict[str, Any]]:
        """Return what is beyond its limit, the worst first."""
        found = [entry for column in self.drifted for entry in _beyond(column)]
        return sorted(found, key=lambda entry: -Severity(entry["severity"]).rank)

    def compact(self) -> dict[str, Any]:
        """Return the report for XCom: JSON-safe, under 8 KiB; ``record`` is filled in later."""
        return fitted(
            json_safe(
                {
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
                    "reference": self.reference.as_dict(),
                    "compared": len(self.columns),
                    "drifted": len(self.drifted),
                    "failed": self.failed(),
                    "record": None,
                }
            )
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything, JSON-safe: each column with each figure."""
        return dict(
            json_safe(
                {
                    **self.compact(),
                    "failed": self.failed(),
                    "schema": self.schema.as_dict(),
                    "columns": [_column(c) for c in self.columns],
                }
            )
        )

    def criteria(self) -> tuple[Criterion, ...]:
        """Return each figure as a criterion of the gate record."""
        return tuple(found for column in self.columns for found in self._criteria(column))

    def _criteria(self, column: ColumnDrift) -> list[Criterion]:
        if column.problem:
            return [
                Criterion(
                    name=column.column,
                    limit=None,
                    observed=None,
                    verdict=self.judged(Severity.CRITICAL),
                    sentence=f"{column.column}: {column.problem}.",
                )
            ]
        return [
            Criterion(
                name=f"{m.measure.name}({column.column})",
                limit={severity.value: limit for severity, limit in m.limits.items()},
                observed=_figures(m),
                verdict=self.judged(m.severity),
                sentence=f"{column.column}: {m.sentence()}",
            )
            for m in column.measured
        ]

    def draft(self, *, verdict: Verdict | None = None) -> GateDraft:
        """Return the gate record to be written; ``verdict`` where the caller lets it pass."""
        return GateDraft(
            kind=GateKind.DRIFT,
            subject=self.subject,
            verdict=verdict or self.verdict,
            criteria=self.criteria(),
            evidence={
                "data": self.data.evidence(),
                "reference": self.reference.as_dict(),
                "dataset": self.dataset,
                "partition": self.partition,
                "project": self.project,
                "schema": self.schema.as_dict(),
                "fail_on": self.fail_on.value,
            },
            decided_by=DECIDED_BY,
        )

    def error(self, *, record: str | None = None) -> DriftGateError:
        """Return the error that carries what drifted and the gate record's id."""
        refused = [c for c in self.drifted if self.judged(c.severity) is Verdict.FAIL]
        named = "; ".join(f"{c.column}: {_why(c)}" for c in refused[:5])
        more = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
        return DriftGateError(
            f"{self.subject} drifted from {self.reference.path} in {len(refused)} of "
            f"{len(self.columns)} columns: {named}{more}",
            remedy="Find out what changed; where the change is right, make a new reference.",
            record=record,
            failed=self.failed(),
        )


def _rank(severity: Severity | None) -> int:
    return -1 if severity is None else severity.rank


def _order(verdict: Verdict) -> int:
    return (Verdict.PASS, Verdict.WARN, Verdict.FAIL).index(verdict)


def _why(column: ColumnDrift) -> str:
    if column.problem:
        return f"{column.problem}."
    return max(
        (m for m in column.measured if m.severity is not None), key=lambda m: _rank(m.severity)
    ).sentence()


def _beyond(column: ColumnDrift) -> list[dict[str, Any]]:
    if column.problem:
        return [
            {"column": column.column, "severity": Severity.CRITICAL.value, "reason": column.problem}
        ]
    return [
        {
            "column": column.column,
            "measure": m.measure.name,
            "severity": m.severity.value,
            "limit": m.limit,
            **_figures(m),
        }
        for m in column.measured
        if m.severity is not None
    ]


def _figures(measured: Measured) -> dict[str, Any]:
    found: dict[str, Any] = {"value": measured.value}
    if measured.error:
        found["error"] = measured.error
    if measured.reason:
        found["reason"] = measured.reason
    if measured.note:
        found["note"] = measured.note
    return found


def _column(column: ColumnDrift) -> dict[str, Any]:
    severity = column.severity
    measured: Sequence[Measured] = column.measured
    return {
        "column": column.column,
        "kind": column.kind.value if column.kind else None,
        "severity": severity.value if severity else None,
        "problem": column.problem,
        "missing": {"reference": column.missing_reference, "now": column.missing_now},
        "measured": {m.measure.name: _figures(m) for m in measured},
    }
