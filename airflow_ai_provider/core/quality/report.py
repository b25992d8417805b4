"""What the gate reports: Great Expectations' own result shape, and a small one for XCom."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_ai_provider.core.gate import Criterion, Verdict
from airflow_ai_provider.core.quality.page.pictures import Picture
from airflow_ai_provider.core.quality.suite import Expectation, Severity, Suite
from airflow_ai_provider.core.quality.values import json_safe

COMPACT_BYTES = 8 * 1024
_ROOM = 512  # for what the caller adds: the record's id
COMPILED, GREAT_EXPECTATIONS, MIXED = "compiled", "great_expectations", "mixed"


@dataclass(frozen=True, kw_only=True)
class ExpectationResult:
    """What one expectation said; ``engine`` is who measured it, ``reason`` why not the compiler.

    ``picture`` shows what failed, where the data was asked for one.
    """

    expectation: Expectation
    success: bool
    result: Mapping[str, Any]
    engine: str = COMPILED
    reason: str | None = None
    picture: Picture | None = None

    def as_gx(self) -> dict[str, Any]:
        """Return it in Great Expectations' shape, with ``engine`` added."""
        found = {
            "success": self.success,
            "expectation_config": self.expectation.config(),
            "result": dict(self.result),
            "meta": {},
            "exception_info": {
                "raised_exception": False,
                "exception_traceback": None,
                "exception_message": None,
            },
            "engine": self.engine,
        }
        if self.reason:
            found["engine_reason"] = self.reason
        if self.expectation.suite:
            found["suite_name"] = self.expectation.suite
        return found

    def brief(self) -> dict[str, Any]:
        """Return it as the compact report lists a failure."""
        kwargs = self.expectation.kwargs
        columns = self.expectation.columns
        found = {
            "type": self.expectation.type,
            "column": kwargs.get("column") or (", ".join(columns) if columns else None),
            "severity": self.expectation.severity.value,
            "unexpected_count": self.result.get("unexpected_count"),
            "unexpected_percent": self.result.get("unexpected_percent"),
            "observed_value": _short(self.result.get("observed_value")),
        }
        if self.expectation.suite:
            found["suite"] = self.expectation.suite
        return found

    def sentence(self) -> str:
        """Say what was seen, in one sentence without any value of a row."""
        if "element_count" in self.result:
            count, share = self.result["unexpected_count"], self.result.get("unexpected_percent")
            seen = f"{count} unexpected of {self.result['element_count']} rows"
            return f"{seen} ({share:.3f} %)." if share is not None else f"{seen}."
        if self.result.get("observed_value") is not None:
            return f"Observed {_short(self.result['observed_value'])}."
        if self.result.get("unexpected_count") or self.result.get("missing_count"):
            return (
                f"{self.result.get('unexpected_count', 0)} unexpected and "
                f"{self.result.get('missing_count', 0)} missing distinct values."
            )
        return "As expected." if self.success else "Not as expected."


@dataclass(frozen=True, kw_only=True)
class QualityReport:
    """What a suite said of the data, expectation by expectation, in the suite's order."""

    suite: Suite
    results: tuple[ExpectationResult, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def success(self) -> bool:
        """Whether every expectation was met, whatever its severity."""
        return all(r.success for r in self.results)

    @property
    def failed(self) -> tuple[ExpectationResult, ...]:
        """The failures, the worst severity first."""
        found = [r for r in self.results if not r.success]
        return tuple(sorted(found, key=lambda r: -r.expectation.severity.rank))

    @property
    def score(self) -> float | None:
        """The share of expectations that were met, from 0 to 1; None of a suite without any."""
        met = sum(r.success for r in self.results)
        return round(met / len(self.results), 4) if self.results else None

    @property
    def engine(self) -> str:
        """Who measured: ``compiled``, ``great_expectations`` or ``mixed``."""
        engines = {r.engine for r in self.results} or {COMPILED}
        return engines.pop() if len(engines) == 1 else MIXED

    def as_gx(self) -> dict[str, Any]:
        """Return the whole in Great Expectations' shape, JSON-safe."""
        met = sum(r.success for r in self.results)
        count = len(self.results)
        document = {
            "success": self.success,
            "results": [r.as_gx() for r in self.results],
            "suite_name": self.suite.name,
            "suite_parameters": dict(self.suite.parameters),
            "statistics": {
                "evaluated_expectations": count,
                "successful_expectations": met,
                "unsuccessful_expectations": count - met,
                "success_percent": met / count * 100 if count else None,
            },
            "meta": dict(self.meta),
        }
        return dict(json_safe(document))

    def verdict(self, fail_on: Severity) -> Verdict:
        """Decide: a failure at ``fail_on`` or worse refuses, a lesser one warns."""
        if any(r.expectation.severity.rank >= fail_on.rank for r in self.failed):
            return Verdict.FAIL
        return Verdict.WARN if self.failed else Verdict.PASS

    def criteria(self, fail_on: Severity) -> tuple[Criterion, ...]:
        """Return each expectation as a criterion of a gate record; no value of a row is in it."""
        return tuple(_criterion(r, fail_on) for r in self.results)


def _criterion(result: ExpectationResult, fail_on: Severity) -> Criterion:
    e = result.expectation
    hidden = {"column", "column_A", "column_B", "column_list"}
    limit = {k: _short(v) for k, v in e.kwargs.items() if k not in hidden}
    seen = ("unexpected_count", "unexpected_percent", "missing_count", "observed_value")
    verdict = Verdict.PASS
    if not result.success:
        verdict = Verdict.FAIL if e.severity.rank >= fail_on.rank else Verdict.WARN
    return Criterion(
        name=e.label if e.columns else e.type,
        limit=limit,
        observed={k: _short(result.result[k]) for k in seen if result.result.get(k) is not None},
        verdict=verdict,
        sentence=f"{result.expectation.label}: {result.sentence()}",
    )


def shown_values(values: Sequence[Any]) -> dict[str, Any]:
    """Return the sample of failing values and how often each is in it, as Great Expectations."""
    counted = Counter(json.dumps(json_safe(v), sort_keys=True) for v in values)
    counts = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return {
        "partial_unexpected_list": list(values),
        "partial_unexpected_counts": [{"value": json.loads(v), "count": n} for v, n in counts],
    }


def fitted(report: Mapping[str, Any], limit: int = COMPACT_BYTES - _ROOM) -> dict[str, Any]:
    """Return ``report`` small enough for XCom: long lists of failures are cut, and said to be."""
    found = dict(report)
    failed = list(found.get("failed") or [])
    while _size(found) >= limit and failed:
        failed = failed[: len(failed) // 2]
        found |= {"failed": failed, "failed_not_shown": len(report["failed"]) - len(failed)}
    return found


def _size(document: Mapping[str, Any]) -> int:
    return len(json.dumps(document))


def _short(value: Any) -> Any:
    written = json_safe(value)
    if isinstance(written, str) and len(written) > 200:
        return written[:197] + "..."
    if isinstance(written, (list, dict)) and len(json.dumps(written)) > 300:
        return f"{len(written)} values"
    return written
