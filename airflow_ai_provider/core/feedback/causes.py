"""What speaks for retraining beside calibration and age, and what its budget says.

Each returns one criterion, which passes when it speaks for retraining; what could not be measured
does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.gate import Criterion, Verdict

HIGHER_IS_BETTER = frozenset({"roc_auc", "mos", "agreement", "coverage"})
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "exception_rate"})
QUALITY = "quality_"


@dataclass(frozen=True, kw_only=True)
class GpuHours:
    """GPU hours that were used, and the tasks of which the history is cut (none: it is whole)."""

    hours: float
    days: int
    cut: tuple[str, ...] = ()


def quality(metric: str, limit: float, figures: Mapping[str, Any] | None) -> Criterion:
    """Say whether a figure of the champion is worse than its limit."""
    value = (figures or {}).get(metric)
    name = f"{QUALITY}{metric}"
    if value is None:
        return criterion(name, limit, None, False, f"{metric} of the champion was not measured.")
    worse = value < limit if metric in HIGHER_IS_BETTER else value > limit
    better = "at least" if metric in HIGHER_IS_BETTER else "at most"
    sentence = f"{metric} of the champion is {value:.4g}; it should be {better} {limit:g}."
    return criterion(name, limit, value, worse, sentence)


def drift(limit: float, share: float | None) -> Criterion:
    """Say whether more of the columns drifted than may."""
    if share is None:
        return criterion("drift", limit, None, False, "Drift was not measured.")
    sentence = f"{share:.1%} of the columns drifted; up to {limit:.1%} is left alone."
    return criterion("drift", limit, share, share > limit, sentence)


def new_feedback(limit: int, count: int | None) -> Criterion:
    """Say whether enough feedback came in since the last retraining was decided."""
    if count is None:
        sentence = "How much feedback came in since the last retraining is unknown."
        return criterion("new_feedback", limit, None, False, sentence)
    sentence = f"{count:,} records came in since the last retraining; {limit:,} are needed."
    return criterion("new_feedback", limit, count, count >= limit, sentence)


def gpu_budget(limit: float, used: GpuHours | None) -> Criterion:
    """Say whether GPU hours are left."""
    if used is None:
        return criterion("gpu_budget", limit, None, False, "The GPU hours used are unknown.")
    if used.hours < limit and used.cut:
        sentence = (
            f"At least {used.hours:.1f} GPU hours were used; the history of {', '.join(used.cut)} "
            f"is cut, so that it is unknown whether that is less than {limit:g}."
        )
        return criterion("gpu_budget", limit, None, False, sentence)
    sentence = f"{used.hours:.1f} of {limit:g} GPU hours were used in {used.days} days."
    return criterion("gpu_budget", limit, round(used.hours, 3), used.hours < limit, sentence)


def criterion(name: str, limit: Any, observed: Any, speaks_for: bool, sentence: str) -> Criterion:
    """Return a criterion that passes when it speaks for what is decided."""
    return Criterion(
        name=name,
        limit=limit,
        observed=observed,
        verdict=Verdict.PASS if speaks_for else Verdict.FAIL,
        sentence=sentence,
    )
