"""Confidence intervals of the difference between two models on the same rows.

Rows of one day, or of one customer, are not independent: storms hit whole days. Resampling rows was
measured to give intervals up to five times too narrow, so whole groups are resampled where the
evidence names a group. Both models see the same resample (paired), which cancels what they share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from airflow_ai_provider.core.promotion import bootstrap_ranks as ranks
from airflow_ai_provider.core.promotion import metrics
from airflow_ai_provider.core.promotion.metrics import Array, NotMeasurableError

FEWEST_GROUPS = 5
_MATRIX_GROUPS = 400  # above, the pair counts of every two groups cost more than they save
_MOST_UNDEFINED = 0.05
_BLOCK_CELLS = 200_000  # counts that fit the cache
_POISSON_GROUPS = 20_000
_POOLED_VALUES = 64

_ROW_METRICS: dict[str, Callable[[Array, Array], Array]] = {
    "accuracy": metrics.row_accuracy,
    "brier": metrics.row_brier,
    "log_loss": metrics.row_log_loss,
    "mae": metrics.row_absolute,
    "mse": metrics.row_squared,
}
_OF_ANY_NUMBERS = ("accuracy", "mae", "mse")
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
    check = metrics.usable if metric in _OF_ANY_NUMBERS else metrics.probabilities
    label, candidate = check(label, candidate)
    _, reference = check(label, reference)
    codes = np.arange(len(label)) if group is None else np.unique(group, return_inverse=True)[1]
    groups = int(codes.max()) + 1
    if groups < FEWEST_GROUPS:
        raise NotMeasurableError(
            f"an interval needs at least {FEWEST_GROUPS} groups to resample, there are {groups}"
        )
    random = np.random.default_rng(seed)
    difference = _difference(metric, label, candidate, reference, codes, groups)
    differences = None
    if group is None and metric in _ROW_METRICS:
        gains = _gains(metric, label, candidate, reference)
        differences = _pooled(gains, resamples, random)
    if differences is None:
        drawn = _draws(groups, resamples, random)
        differences = np.concatenate([difference(block) for block in drawn])
    defined = differences[np.isfinite(differences)]
    if len(defined) < (1 - _MOST_UNDEFINED) * resamples:
        raise NotMeasurableError(
            f"{resamples - len(defined)} of {resamples} resamples have only one class"
        )
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(
        difference=float(difference(np.ones((1, groups), dtype=np.int32))[0]),
        low=float(low),
        high=float(high),
        groups=groups,
        resamples=resamples,
    )


def _draws(groups: int, resamples: int, random: np.random.Generator) -> Iterator[Array]:
    """Yield blocks of resamples: each row says how often each group was drawn.

    Of many groups each is drawn as often as a Poisson variable of mean one says. That differs from
    drawing ``groups`` of them in the sum alone, by one part in its root, and no metric depends on
    the sum: each is a ratio of two that are drawn alike.
    """
    block = max(1, _BLOCK_CELLS // groups)
    table = _poisson_table() if groups >= _POISSON_GROUPS else None
    for start in range(0, resamples, block):
        shape = (min(block, resamples - start), groups)
        if table is not None:
            yield table.take(random.integers(0, len(table), shape, dtype=np.uint16))
            continue
        drawn = random.integers(0, groups, shape)
        drawn += np.arange(shape[0])[:, None] * groups
        counts = np.bincount(drawn.ravel(), minlength=shape[0] * groups)
        yield counts.reshape(shape).astype(np.int32)


def _poisson_table() -> Array:
    """Return 65,535 counts in the shares of a Poisson variable of mean one."""
    size = 2**16 - 1
    shares = np.cumsum([math.exp(-1) / math.factorial(count) for count in range(12)])
    found = np.searchsorted(shares, (np.arange(size) + 0.5) / size)
    return np.asarray(found, dtype=np.int32)


_Statistic = Callable[[Array], Array]  # how often each group was drawn, per resample -> the metric


def _difference(
    metric: str, label: Array, candidate: Array, reference: Array, codes: Array, groups: int
) -> _Statistic:
    """Return the difference as a function of how often each group was drawn."""
    if metric in _ROW_METRICS:
        return _mean_of(_gains(metric, label, candidate, reference), codes, groups)
    made: Callable[[Array, Array, Array, int], _Statistic]
    if metric == "average_precision":
        made = ranks.precision_of_rows
    else:
        made = ranks.auc_of_pairs if groups <= _MATRIX_GROUPS else ranks.auc_of_rows
    mine = made(label, candidate, codes, groups)
    theirs = made(label, reference, codes, groups)
    return lambda drawn: mine(drawn) - theirs(drawn)


def _gains(metric: str, label: Array, candidate: Array, reference: Array) -> Array:
    """Return what each row adds to the difference of a metric that is a mean over rows."""
    row = _ROW_METRICS[metric]
    return row(label, candidate) - row(label, reference)


def _mean_of(values: Array, codes: Array, groups: int) -> _Statistic:
    sums = np.bincount(codes, values, groups)
    sizes = np.bincount(codes, minlength=groups).astype(np.float64)

    def mean(drawn: Array) -> Array:
        counts = drawn.astype(np.float64)
        return np.asarray((counts @ sums) / (counts @ sizes))

    return mean


def _pooled(values: Array, resamples: int, random: np.random.Generator) -> Array | None:
    """Return the means of resampled rows that have few different values; None where they have many.

    How often each value is drawn is all that counts: a multinomial variable. Two classifiers differ
    by -1, 0 or 1 on a row, which makes a resample three numbers instead of one for each row.
    """
    found, counts = np.unique(values, return_counts=True)
    if len(found) > _POOLED_VALUES:
        return None
    drawn = random.multinomial(len(values), counts / len(values), resamples)
    return np.asarray(drawn @ found / len(values))
