"""Measure what held-out rows tell: metrics, differences, slices, calibration, reproducibility."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from airflow_ai_provider.core.promotion import metrics
from airflow_ai_provider.core.promotion.bootstrap import paired_interval
from airflow_ai_provider.core.promotion.case import Case, Finding
from airflow_ai_provider.core.promotion.criteria import ModelCriterion, what
from airflow_ai_provider.core.promotion.evidence import Predictions
from airflow_ai_provider.core.promotion.metrics import Array, NotMeasurableError

_FROM_RECORD = ("gates",)  # of the training, what a second training cannot share


def within(criterion: ModelCriterion, value: float) -> bool:
    """Whether ``value`` keeps the criterion's ``min`` or ``max``."""
    limit: float = criterion.limit
    return value >= limit if "min" in criterion.options else value <= limit


def asked(criterion: ModelCriterion) -> str:
    """Return what the criterion asks for, as the end of a sentence."""
    side = "at least" if "min" in criterion.options else "at most"
    return f"{side} {criterion.limit:,g} is asked for."


def threshold(criterion: ModelCriterion, case: Case) -> Finding:
    """A metric keeps its limit."""
    rows, metric = case.rows, criterion["metric"]
    value = metrics.METRICS[metric](rows.label, rows.score)
    return Finding(
        observed=value,
        met=within(criterion, value),
        sentence=f"{metric} is {value:.4g} on {len(rows.label):,} held-out rows; "
        + asked(criterion),
    )


def improvement(criterion: ModelCriterion, case: Case) -> Finding:
    """The interval of the difference to the reference lies beyond a limit."""
    reference = _reference(criterion, case)
    if isinstance(reference, Finding):
        return reference
    units = f"{case.evidence.group or 'row'}s"
    return difference(criterion, case.rows, reference, case.reference_name, units)


def difference(
    criterion: ModelCriterion, rows: Predictions, reference: Array, name: str, units: str
) -> Finding:
    """Return the finding on the paired difference between a candidate and a reference."""
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
    limit, lower = criterion.limit, "min_lower" in criterion.options
    bound = found.low if lower else found.high
    return Finding(
        observed=bound,
        met=bound > limit if lower else bound < limit,  # beyond, so that a twin never passes
        sentence=f"{criterion['metric']} minus that of {name} is "
        f"{found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}] over "
        f"{found.groups} {units}; the {'lower' if lower else 'upper'} end must lie "
        f"{'above' if lower else 'below'} {limit:g}.",
    )


def _reference(criterion: ModelCriterion, case: Case) -> Array | Finding:
    """Return the reference's scores, or the finding of a criterion that has nothing to compare.

    With no champion yet, a comparison with the champion is one with the baseline.
    """
    kind, over = case.evidence.reference_kind, criterion["over"]
    column = case.rows.reference
    if column is not None and not (over == "baseline" and kind != "baseline"):
        return column
    return first_model(criterion, f"the evidence has no {over} to compare with")


def first_model(criterion: ModelCriterion, nothing: str) -> Finding:
    """Return the pass of the first model of its kind, where the criterion allows it.

    :raises NotMeasurableError: it does not.
    """
    if criterion["no_reference"] != "pass":
        raise NotMeasurableError(nothing)
    about = f"{what(criterion.options)} ({criterion.kind})"
    return Finding(observed=None, met=True, sentence=f"{about} is let pass: {nothing} yet.")


def rise(criterion: ModelCriterion, case: Case) -> Finding:
    """A metric is not much more than that of the reference."""
    reference = _reference(criterion, case)
    if isinstance(reference, Finding):
        return reference
    rows, metric = case.rows, criterion["metric"]
    mine = metrics.METRICS[metric](rows.label, rows.score)
    theirs = metrics.METRICS[metric](rows.label, reference)
    return Finding(
        observed=mine - theirs,
        met=mine - theirs <= criterion.limit,
        sentence=f"{metric} is {mine:.4g} against {theirs:.4g} of {case.reference_name}, "
        f"a rise of {mine - theirs:+.4f}; " + asked(criterion),
    )


def slice_gap(criterion: ModelCriterion, case: Case) -> Finding:
    """In no slice are observed and predicted rate far apart."""
    rows, column = case.rows, criterion["slice"]
    label, score = metrics.probabilities(rows.label, rows.score, both_classes=False)
    names, codes = _slices(rows, column)
    sizes = np.bincount(codes)
    gaps = np.abs(np.bincount(codes, label - score)) / sizes
    enough = sizes >= criterion["min_rows"]
    if not enough.any():
        raise NotMeasurableError(f"no {column} has {criterion['min_rows']:g} rows")
    worst = int(np.argmax(np.where(enough, gaps, -1.0)))
    return Finding(
        observed=float(gaps[worst]),
        met=bool(gaps[worst] <= criterion.limit),
        sentence=f"The widest gap between observed and predicted rate is {gaps[worst]:.4f}, for "
        f"{column} {names[worst]} ({sizes[worst]:,} rows; {int(enough.sum())} of {len(names)} "
        "large enough); " + asked(criterion),
    )


def worst_slice(criterion: ModelCriterion, case: Case) -> Finding:
    """Even the worst slice keeps the limit."""
    values, sizes, small = _metric_by_slice(criterion, case)
    pick = min if "min" in criterion.options else max
    name = pick(values, key=lambda key: values[key])
    return Finding(
        observed=values[name],
        met=within(criterion, values[name]),
        sentence=f"The worst {criterion['metric']} is {values[name]:.4g}, for "
        f"{criterion['slice']} {name} ({sizes[name]:,} rows); {len(values)} slices were judged, "
        f"{small} have too few rows; " + asked(criterion),
    )


def slice_spread(criterion: ModelCriterion, case: Case) -> Finding:
    """The best and the worst served slice are not far apart."""
    values, _, small = _metric_by_slice(criterion, case)
    if len(values) < 2:
        raise NotMeasurableError(f"only one {criterion['slice']} has enough rows")
    low, high = (pick(values, key=lambda key: values[key]) for pick in (min, max))
    spread = values[high] - values[low]
    return Finding(
        observed=spread,
        met=spread <= criterion.limit,
        sentence=f"{criterion['metric']} is from {values[low]:.4g} ({criterion['slice']} {low}) to "
        f"{values[high]:.4g} ({high}), {spread:.4f} apart; {small} slices have too few rows; "
        + asked(criterion),
    )


def _metric_by_slice(
    criterion: ModelCriterion, case: Case
) -> tuple[dict[str, float], dict[str, int], int]:
    """Return the metric and the rows of each slice that is large enough, and how many are not.

    A large slice in which the metric has no value makes the whole not measurable: it may be the
    worst of all.
    """
    rows, column, metric = case.rows, criterion["slice"], criterion["metric"]
    names, codes = _slices(rows, column)
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    values, sizes = {}, {}
    for name, part in zip(names, parts, strict=True):
        if len(part) < criterion["min_rows"]:
            continue
        try:
            values[str(name)] = metrics.METRICS[metric](rows.label[part], rows.score[part])
        except NotMeasurableError as error:
            raise NotMeasurableError(f"of {column} {name}, {error}") from None
        sizes[str(name)] = len(part)
    if not values:
        raise NotMeasurableError(f"no {column} has {criterion['min_rows']:g} rows")
    return values, sizes, len(names) - len(values)


def _slices(rows: Predictions, column: str) -> tuple[Array, Array]:
    if column not in rows.slices:
        raise NotMeasurableError(f"the evidence names no slice {column!r}")
    if len(rows.label) == 0:
        raise NotMeasurableError("there are no rows")
    names, codes = np.unique(np.asarray(rows.slices[column], dtype=str), return_inverse=True)
    return names, codes


def calibration(criterion: ModelCriterion, case: Case) -> Finding:
    """What the model calls likely happens as often as it says."""
    rows, kind = case.rows, criterion["error"]
    edges = metrics.calibration_bins(rows.label, rows.score)
    gaps = [abs(found - said) for _, said, found in edges]
    sizes = [count for count, _, _ in edges]
    worst = int(np.argmax(gaps))
    value = gaps[worst] if kind == "mce" else float(np.average(gaps, weights=sizes))
    _, said, found = edges[worst]
    name = "largest" if kind == "mce" else "expected"
    return Finding(
        observed=value,
        met=value <= criterion.limit,
        sentence=f"The {name} calibration error is {value:.4f} over {len(edges)} bins of equal "
        f"count; in the worst, {said:.3f} was said and {found:.3f} happened; " + asked(criterion),
    )


def min_rows(criterion: ModelCriterion, case: Case) -> Finding:
    """There are enough rows to judge on."""
    count = len(case.rows.label)
    return Finding(
        observed=count,
        met=count >= criterion.limit,
        sentence=f"There are {count:,} held-out rows; at least {criterion.limit:,g} are asked for.",
    )


def reproducible(criterion: ModelCriterion, case: Case) -> Finding:
    """Training again with the recorded inputs gives the same metric, within the limit."""
    again, metric = case.evidence.retrained, criterion["metric"]
    if not again or case.retrained is None:
        raise NotMeasurableError("the evidence names no second training with the same inputs")
    if case.evidence.run_id is not None and again.get("run_id") == case.evidence.run_id:
        raise NotMeasurableError("the second training is the first: both name the same run")
    one, other = _inputs(case.evidence.training), _inputs(again.get("training") or {})
    if not one:
        raise NotMeasurableError("the evidence does not say what went into the training")
    if one != other:
        changed = sorted(k for k in one.keys() | other.keys() if one.get(k) != other.get(k))
        raise NotMeasurableError(
            f"the second training had other inputs: {', '.join(map(str, changed))}"
        )
    rows, second = case.rows, case.retrained
    if not np.array_equal(rows.label, second.label):
        raise NotMeasurableError("the second model was judged on other rows")
    mine = metrics.METRICS[metric](rows.label, rows.score)
    theirs = metrics.METRICS[metric](second.label, second.score)
    return Finding(
        observed=abs(mine - theirs),
        met=abs(mine - theirs) <= criterion.limit,
        sentence=f"Trained again with the same inputs, {metric} is {theirs:.6g} instead of "
        f"{mine:.6g}; a difference of {asked(criterion)}",
    )


def _inputs(training: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in training.items() if name not in _FROM_RECORD}
