"""Confidence intervals of the difference between two models on the same rows.

Rows of one day, or of one customer, are not independent: storms hit whole days. Resampling rows was
measured to give intervals up to five times too narrow, so whole groups are resampled where the
evidence names a group. Both models see the same resample (paired), which cancels what they share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from airflow_ai_provider.core.promotion import metrics
from airflow_ai_provider.core.promotion.metrics import Array, NotMeasurableError

FEWEST_GROUPS = 5
_MATRIX_GROUPS = 400  # above, the pair counts of every two groups cost more than they save
_MOST_UNDEFINED = 0.05

_ROW_METRICS: dict[str, Callable[[Array, Array], Array]] = {
    "accuracy": metrics.row_accuracy,
    "brier": metrics.row_brier,
    "log_loss": metrics.row_log_loss,
}
_RANK_METRICS: dict[str, Callable[[Array, Array, Array | None], float]] = {
    "average_precision": metrics.ranked_average_precision,
    "roc_auc": metrics.ranked_auc,
}
COMPARABLE = (*sorted(_ROW_METRICS), *sorted(_RANK_METRICS))


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Candidate minus reference: the difference on all rows and its confidence interval."""

    difference: float
    low: float
    high: float
    groups: int
    resamples: int


def paired_interval(
    metric: str,
    *,
    label: Array,
    candidate: Array,
    reference: Array,
    group: Array | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the percentile bootstrap interval of ``metric``'s difference.

    ``group`` gives each row's group; None resamples rows.

    :raises NotMeasurableError: the metric has no value, or there are too few groups.
    """
    check = metrics.usable if metric == "accuracy" else metrics.probabilities
    label, candidate = check(label, candidate)
    _, reference = check(label, reference)
    codes = np.arange(len(label)) if group is None else np.unique(group, return_inverse=True)[1]
    groups = int(codes.max()) + 1
    if groups < FEWEST_GROUPS:
        raise NotMeasurableError(
            f"an interval needs at least {FEWEST_GROUPS} groups to resample, there are {groups}"
        )
    pair = (
        _statistic(metric, label, candidate, codes, groups),
        _statistic(metric, label, reference, codes, groups),
    )
    whole = np.ones(groups)
    differences = _resampled(pair, groups, resamples, np.random.default_rng(seed))
    defined = differences[np.isfinite(differences)]
    if len(defined) < (1 - _MOST_UNDEFINED) * resamples:
        raise NotMeasurableError(
            f"{resamples - len(defined)} of {resamples} resamples have only one class"
        )
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(
        difference=float(pair[0](whole) - pair[1](whole)),
        low=float(low),
        high=float(high),
        groups=groups,
        resamples=resamples,
    )


_Statistic = Callable[[Array], float]


def _resampled(
    pair: tuple[_Statistic, _Statistic], groups: int, resamples: int, random: np.random.Generator
) -> Array:
    found = np.empty(resamples)
    for place in range(resamples):
        drawn = random.integers(0, groups, groups)
        counts = np.bincount(drawn, minlength=groups).astype(np.float64)
        found[place] = pair[0](counts) - pair[1](counts)
    return found


def _statistic(metric: str, label: Array, score: Array, codes: Array, groups: int) -> _Statistic:
    """Return the metric as a function of how often each group was drawn."""
    if metric in _ROW_METRICS:
        return _mean_of(_ROW_METRICS[metric](label, score), codes, groups)
    if metric == "roc_auc" and groups <= _MATRIX_GROUPS:
        return _auc_of_pairs(label, score, codes, groups)
    return _ranked(_RANK_METRICS[metric], label, score, codes)


def _mean_of(values: Array, codes: Array, groups: int) -> _Statistic:
    sums = np.bincount(codes, values, groups)
    sizes = np.bincount(codes, minlength=groups).astype(np.float64)
    return lambda counts: float(counts @ sums / (counts @ sizes))


def _ranked(
    metric: Callable[[Array, Array, Array | None], float],
    label: Array,
    score: Array,
    codes: Array,
) -> _Statistic:
    order = metrics.descending(score)
    ends = metrics.tie_ends(order, score)
    label, codes = label[order], codes[order]
    return lambda counts: metric(label, ends, counts[codes])


def _auc_of_pairs(label: Array, score: Array, codes: Array, groups: int) -> _Statistic:
    """Return the AUC from how many pairs each two groups win.

    The AUC counts pairs of a positive and a negative row; with whole groups drawn, each pair counts
    as often as its two groups: a quadratic form, for which no row is looked at again.
    """
    positive, negative = label == 1, label == 0
    won = np.empty((groups, groups))
    scores, owners = score[positive], codes[positive]
    for group in range(groups):
        others = np.sort(score[negative & (codes == group)])
        below = np.searchsorted(others, scores, "left")
        ties = np.searchsorted(others, scores, "right") - below
        won[:, group] = np.bincount(owners, below + ties / 2, groups)
    positives = np.bincount(codes[positive], minlength=groups).astype(np.float64)
    negatives = np.bincount(codes[negative], minlength=groups).astype(np.float64)

    def auc(counts: Array) -> float:
        pairs = (counts @ positives) * (counts @ negatives)
        return float(counts @ won @ counts / pairs) if pairs else float("nan")

    return auc
