"""Confidence intervals of the difference between two models on the same rows.

Rows of one day, or of one customer, are not independent: storms hit whole days. Resampling rows was
measured to give intervals up to five times too narrow, so whole groups are resampled where the
evidence names a group. Both models see the same resample (paired), which cancels what they share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from airflow_ai_provider.core.promotion import metrics
from airflow_ai_provider.core.promotion.metrics import Array, NotMeasurableError

FEWEST_GROUPS = 5
_MATRIX_GROUPS = 400  # above, the pair counts of every two groups cost more than they save
_MOST_UNDEFINED = 0.05
_BLOCK_CELLS = 200_000  # counts that fit the cache

_ROW_METRICS: dict[str, Callable[[Array, Array], Array]] = {
    "accuracy": metrics.row_accuracy,
    "brier": metrics.row_brier,
    "log_loss": metrics.row_log_loss,
}
COMPARABLE = (*sorted(_ROW_METRICS), "average_precision", "roc_auc")


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
    differences = np.concatenate(
        [pair[0](drawn) - pair[1](drawn) for drawn in _draws(groups, resamples, seed)]
    )
    defined = differences[np.isfinite(differences)]
    if len(defined) < (1 - _MOST_UNDEFINED) * resamples:
        raise NotMeasurableError(
            f"{resamples - len(defined)} of {resamples} resamples have only one class"
        )
    whole = np.ones((1, groups))
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(
        difference=float((pair[0](whole) - pair[1](whole))[0]),
        low=float(low),
        high=float(high),
        groups=groups,
        resamples=resamples,
    )


_Statistic = Callable[[Array], Array]  # how often each group was drawn, per resample -> the metric


def _draws(groups: int, resamples: int, seed: int) -> Iterator[Array]:
    """Yield blocks of resamples: each row says how often each group was drawn."""
    random = np.random.default_rng(seed)
    block = max(1, _BLOCK_CELLS // groups)
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = random.integers(0, groups, (count, groups))
        drawn += np.arange(count)[:, None] * groups
        counts = np.bincount(drawn.ravel(), minlength=count * groups)
        yield counts.reshape(count, groups).astype(np.float64)


def _statistic(metric: str, label: Array, score: Array, codes: Array, groups: int) -> _Statistic:
    """Return the metric as a function of how often each group was drawn."""
    if metric in _ROW_METRICS:
        return _mean_of(_ROW_METRICS[metric](label, score), codes, groups)
    if metric == "roc_auc":
        made = _auc_of_pairs if groups <= _MATRIX_GROUPS else _auc_of_rows
        return made(label, score, codes, groups)
    return _precision_of_rows(label, score, codes, groups)


def _mean_of(values: Array, codes: Array, groups: int) -> _Statistic:
    sums = np.bincount(codes, values, groups)
    sizes = np.bincount(codes, minlength=groups).astype(np.float64)
    return lambda drawn: np.asarray((drawn @ sums) / (drawn @ sizes))


def _auc_of_rows(label: Array, score: Array, codes: Array, groups: int) -> _Statistic:
    """Return the AUC from the weight of the negative rows below each positive one."""
    positive, negative = _ascending(label, score)
    below = np.searchsorted(score[negative], score[positive], "left")
    upto = np.searchsorted(score[negative], score[positive], "right")

    def auc(mine: Array, others: Array) -> float:
        pairs = mine.sum() * others[-1]
        return mine @ (others[below] + others[upto]) / (2 * pairs) if pairs else np.nan

    return _weighed(auc, codes[positive], codes[negative])


def _precision_of_rows(label: Array, score: Array, codes: Array, groups: int) -> _Statistic:
    """Return the average precision from the weights above each positive row, ties included."""
    positive, negative = (rows[::-1] for rows in _ascending(label, score))
    first = np.searchsorted(-score[positive], -score[positive], "right") - 1
    over = np.searchsorted(-score[negative], -score[positive], "right")

    def precision(mine: Array, others: Array) -> float:
        right = np.cumsum(mine)[first]
        seen = right + others[over]
        parts = np.divide(right, seen, out=np.zeros_like(right), where=seen > 0)
        return mine @ parts / mine.sum() if mine.any() else np.nan

    return _weighed(precision, codes[positive], codes[negative])


def _ascending(label: Array, score: Array) -> tuple[Array, Array]:
    """Return the positive and the negative rows, each from the lowest score to the highest."""
    order = np.argsort(score, kind="stable")
    return order[label[order] == 1], order[label[order] == 0]


def _weighed(
    metric: Callable[[Array, Array], float], positive: Array, negative: Array
) -> _Statistic:
    """Return ``metric`` of positive rows' weights and of negative rows' cumulated ones."""

    def statistic(drawn: Array) -> Array:
        found = np.empty(len(drawn))
        passed = np.zeros(len(negative) + 1)
        for place, counts in enumerate(drawn):
            np.cumsum(counts[negative], out=passed[1:])
            found[place] = metric(counts[positive], passed)
        return found

    return statistic


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

    def auc(drawn: Array) -> Array:
        pairs = (drawn @ positives) * (drawn @ negatives)
        wins = ((drawn @ won) * drawn).sum(axis=1)
        return np.asarray(np.divide(wins, pairs, out=np.full_like(wins, np.nan), where=pairs > 0))

    return auc
