"""Measure the criteria of a model gate on the evidence.

Each answers with a number, its limit and a sentence. A metric that has no value, a cost that nobody
measured, a slice without rows: each is a failed criterion that says so, whatever its severity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airflow_ai_provider.core.gate import Criterion, Verdict
from airflow_ai_provider.core.promotion import on_evidence, on_life, on_rows, on_traces
from airflow_ai_provider.core.promotion.case import Case, Finding
from airflow_ai_provider.core.promotion.criteria import KINDS, ModelCriterion, what
from airflow_ai_provider.core.promotion.metrics import NotMeasurableError

__all__ = ["Case", "evaluate"]

_Measure = Callable[[ModelCriterion, Case], Finding]


def evaluate(criteria: Sequence[ModelCriterion], case: Case) -> tuple[Criterion, ...]:
    """Return each of ``criteria`` with what was observed and its verdict."""
    return tuple(_judged(criterion, case) for criterion in criteria)


def _judged(criterion: ModelCriterion, case: Case) -> Criterion:
    try:
        finding = _MEASURES[criterion.kind](criterion, case)
    except NotMeasurableError as error:
        return Criterion(
            name=criterion.name,
            limit=criterion.limit,
            observed=None,
            verdict=Verdict.FAIL,
            sentence=f"{_about(criterion)} could not be measured: {error}.",
        )
    missed = Verdict.WARN if criterion.severity == "warn" else Verdict.FAIL
    return Criterion(
        name=criterion.name,
        limit=criterion.limit,
        observed=finding.observed,
        verdict=Verdict.PASS if finding.met else missed,
        sentence=finding.sentence,
    )


def _about(criterion: ModelCriterion) -> str:
    about = what(criterion.options)
    return f"{about} ({criterion.kind})" if about else criterion.kind


def _measures() -> dict[str, _Measure]:
    """Return the measure of each kind: the function of its name in one of the four modules."""
    modules = (on_rows, on_evidence, on_traces, on_life)
    return {
        kind: next(getattr(module, kind) for module in modules if hasattr(module, kind))
        for kind in KINDS
    }


_MEASURES = _measures()
