"""Measure the criteria of a model gate on the evidence.

Each answers with a number, its limit and a sentence. A metric that has no value, a cost that nobody
measured, a slice without rows: each is a failed criterion that says so, whatever its severity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from airflow_ai_provider.core.gate import Criterion, GateRecord, Verdict
from airflow_ai_provider.core.promotion import metrics
from airflow_ai_provider.core.promotion.bootstrap import paired_interval
from airflow_ai_provider.core.promotion.criteria import ModelCriterion
from airflow_ai_provider.core.promotion.evidence import ModelEvidence, Predictions
from airflow_ai_provider.core.promotion.metrics import Array, NotMeasurableError


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the criteria look at: evidence, its rows, and the data gate records it names."""

    evidence: ModelEvidence
    predictions: Predictions | None
    gates: Mapping[str, GateRecord] = field(default_factory=dict)

    @property
    def rows(self) -> Predictions:
        """The held-out rows.

        :raises NotMeasurableError: the evidence names none.
        """
        if self.predictions is None:
            raise NotMeasurableError("the evidence names no predictions")
        return self.predictions

    @property
    def reference_name(self) -> str:
        """What the candidate is compared with, for a sentence."""
        kind = self.evidence.reference_kind or "reference"
        version = self.evidence.reference_version
        return f"the {kind} (version {version})" if version else f"the {kind}"


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """What one criterion found."""

    observed: Any
    met: bool
    sentence: str


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
            sentence=f"{_what(criterion)} could not be measured: {error}.",
        )
    missed = Verdict.WARN if criterion.severity == "warn" else Verdict.FAIL
    return Criterion(
        name=criterion.name,
        limit=criterion.limit,
        observed=finding.observed,
        verdict=Verdict.PASS if finding.met else missed,
        sentence=finding.sentence,
    )


def _what(criterion: ModelCriterion) -> str:
    options = criterion.options
    about = options.get("metric") or options.get("slice") or options.get("cost")
    return f"{about} ({criterion.kind})" if about else criterion.kind


def _threshold(criterion: ModelCriterion, case: Case) -> _Finding:
    rows, metric = case.rows, criterion["metric"]
    value = metrics.METRICS[metric](rows.label, rows.score)
    least = "min" in criterion.options
    limit = criterion.limit
    return _Finding(
        observed=value,
        met=value >= limit if least else value <= limit,
        sentence=f"{metric} is {value:.4g} on {len(rows.label):,} held-out rows; "
        f"{'at least' if least else 'at most'} {limit:g} is asked for.",
    )


def _reference(criterion: ModelCriterion, case: Case) -> Array | _Finding:
    """Return the reference's scores, or the finding of a criterion that has nothing to compare.

    With no champion yet, a comparison with the champion is one with the baseline.
    """
    kind, over = case.evidence.reference_kind, criterion["over"]
    column = case.rows.reference
    if column is not None and not (over == "baseline" and kind != "baseline"):
        return column
    nothing = f"the evidence has no {over} to compare with"
    if criterion["no_reference"] == "pass":
        return _Finding(
            observed=None, met=True, sentence=f"{_what(criterion)} is let pass: {nothing} yet."
        )
    raise NotMeasurableError(nothing)


def _improvement(criterion: ModelCriterion, case: Case) -> _Finding:
    reference = _reference(criterion, case)
    if isinstance(reference, _Finding):
        return reference
    rows, limit = case.rows, criterion.limit
    found = paired_interval(
        criterion["metric"],
        label=rows.label,
        candidate=rows.score,
        reference=reference,
        group=rows.group,
        resamples=int(criterion["resamples"]),
        confidence=criterion["confidence"],
        seed=int(criterion["seed"]),
    )
    lower = "min_lower" in criterion.options
    bound = found.low if lower else found.high
    units = f"{found.groups} {case.evidence.group or 'row'}s"
    return _Finding(
        observed=bound,
        met=bound > limit if lower else bound < limit,  # beyond, so that a twin never passes
        sentence=f"{criterion['metric']} minus that of {case.reference_name} is "
        f"{found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}] over {units}; "
        f"the {'lower' if lower else 'upper'} end must lie "
        f"{'above' if lower else 'below'} {limit:g}.",
    )


def _rise(criterion: ModelCriterion, case: Case) -> _Finding:
    reference = _reference(criterion, case)
    if isinstance(reference, _Finding):
        return reference
    rows, metric = case.rows, criterion["metric"]
    mine = metrics.METRICS[metric](rows.label, rows.score)
    theirs = metrics.METRICS[metric](rows.label, reference)
    return _Finding(
        observed=mine - theirs,
        met=mine - theirs <= criterion.limit,
        sentence=f"{metric} is {mine:.4g} against {theirs:.4g} of {case.reference_name}, "
        f"a rise of {mine - theirs:+.4f}; at most {criterion.limit:g} is asked for.",
    )


def _slice_gap(criterion: ModelCriterion, case: Case) -> _Finding:
    rows, column = case.rows, criterion["slice"]
    if column not in rows.slices:
        raise NotMeasurableError(f"the evidence names no slice {column!r}")
    label, score = metrics.probabilities(rows.label, rows.score, both_classes=False)
    names, codes = np.unique(np.asarray(rows.slices[column], dtype=str), return_inverse=True)
    sizes = np.bincount(codes)
    gaps = np.abs(np.bincount(codes, label - score)) / sizes
    enough = sizes >= criterion["min_rows"]
    if not enough.any():
        raise NotMeasurableError(f"no {column} has {criterion['min_rows']:g} rows")
    worst = int(np.argmax(np.where(enough, gaps, -1.0)))
    return _Finding(
        observed=float(gaps[worst]),
        met=bool(gaps[worst] <= criterion.limit),
        sentence=f"The widest gap between observed and predicted rate is {gaps[worst]:.4f}, for "
        f"{column} {names[worst]} ({sizes[worst]:,} rows; {int(enough.sum())} of {len(names)} "
        f"large enough); at most {criterion.limit:g} is asked for.",
    )


def _budget(criterion: ModelCriterion, case: Case) -> _Finding:
    cost = criterion["cost"]
    value = case.evidence.costs.get(cost)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise NotMeasurableError(f"the evidence says {cost} = {value!r}")
    return _Finding(
        observed=value,
        met=value <= criterion.limit,
        sentence=f"{cost} is {value:,g}; at most {criterion.limit:,g} is asked for.",
    )


def _min_rows(criterion: ModelCriterion, case: Case) -> _Finding:
    count = len(case.rows.label)
    return _Finding(
        observed=count,
        met=count >= criterion.limit,
        sentence=f"There are {count:,} held-out rows; at least {criterion.limit:,g} are asked for.",
    )


def _gated_data(_criterion: ModelCriterion, case: Case) -> _Finding:
    training = case.evidence.training
    partitions = training.get("partitions") or []
    if not partitions:
        raise NotMeasurableError("the evidence names no training partitions")
    passed = {
        record.subject
        for name in training.get("gates") or []
        if (record := case.gates.get(str(name))) is not None
        and record.kind == "data"
        and Verdict(record.verdict).lets_pass
    }
    missing = [name for name in partitions if f"ai-data://{name}" not in passed]
    if missing:
        sentence = f"No passing data gate is on record for {', '.join(map(str, missing))}."
    else:
        sentence = f"All {len(partitions)} training partitions passed their data gate."
    return _Finding(observed=not missing, met=not missing, sentence=sentence)


def _own_data(_criterion: ModelCriterion, case: Case) -> _Finding:
    data = case.evidence.data
    if not isinstance(data.get("own"), bool):
        raise NotMeasurableError("the evidence does not say whose data it was judged on")
    name = data.get("name", "the evaluation data")
    own = bool(data["own"])
    sentence = f"{name} is {'the' if own else 'public data, not the'} project's own data."
    return _Finding(observed=own, met=own, sentence=sentence)


_MEASURES: dict[str, Callable[[ModelCriterion, Case], _Finding]] = {
    "threshold": _threshold,
    "improvement": _improvement,
    "rise": _rise,
    "slice_gap": _slice_gap,
    "budget": _budget,
    "min_rows": _min_rows,
    "gated_data": _gated_data,
    "own_data": _own_data,
}
