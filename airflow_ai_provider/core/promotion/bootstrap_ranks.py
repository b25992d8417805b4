"""Metrics of ranks as functions of how often each group of rows was drawn.

Each function takes labels (0 or 1), scores, each row's group and the number of groups, sorts once,
and returns a function of a block of resamples: a matrix of counts, one row a resample.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from airflow_ai_provider.core.promotion.metrics import Array

_Statistic = Callable[[Array], Array]


def auc_of_rows(label: Array, score: Array, codes: Array, _groups: int) -> _Statistic:
    """Return the AUC from the weight of the negative rows below each positive one."""
    positive, negative = _ascending(label, score)
    below = np.searchsorted(score[negative], score[positive], "left")
    upto = np.searchsorted(score[negative], score[positive], "right")
    has_ties = not np.array_equal(below, upto)

    def auc(mine: Array, others: Array) -> float:
        pairs = float(mine.sum(dtype=np.int64)) * float(others[-1])
        if not pairs:
            return np.nan
        won = _sum_of_products(mine, others.take(below))
        if has_ties:
            won = (won + _sum_of_products(mine, others.take(upto))) / 2
        return won / pairs

    return _weighed(auc, codes[positive], codes[negative])


def precision_of_rows(label: Array, score: Array, codes: Array, _groups: int) -> _Statistic:
    """Return the average precision from the weights above each positive row, ties included."""
    positive, negative = (rows[::-1] for rows in _ascending(label, score))
    first = np.searchsorted(-score[positive], -score[positive], "right") - 1
    over = np.searchsorted(-score[negative], -score[positive], "right")
    has_ties = not np.array_equal(first, np.arange(len(first)))

    def precision(mine: Array, others: Array) -> float:
        right = np.cumsum(mine, dtype=np.int32)
        drawn = right[-1]
        if not drawn:
            return np.nan
        if has_ties:
            right = right.take(first)
        seen = others.take(over)
        seen += right
        seen[: np.searchsorted(seen, 1)] = 1  # where nothing was drawn yet, nothing is right either
        return _sum_of_products(mine, right / seen) / float(drawn)

    return _weighed(precision, codes[positive], codes[negative])


def auc_of_pairs(label: Array, score: Array, codes: Array, groups: int) -> _Statistic:
    """Return the AUC from how many pairs each two groups win.

    The AUC counts pairs of a positive and a negative row; with whole groups drawn, each pair counts
    as often as its two groups: a quadratic form, for which no row is looked at again.
    """
    positive, negative = _ascending(label, score)
    below = np.searchsorted(score[negative], score[positive], "left")
    upto = np.searchsorted(score[negative], score[positive], "right")
    owners, others = codes[positive], codes[negative]
    won = np.empty((groups, groups))
    passed = np.zeros(len(negative) + 1, dtype=np.int32)
    for group in range(groups):
        np.cumsum(others == group, dtype=np.int32, out=passed[1:])
        won[:, group] = np.bincount(owners, passed.take(below) + passed.take(upto), groups)
    won /= 2
    positives = np.bincount(owners, minlength=groups).astype(np.float64)
    negatives = np.bincount(others, minlength=groups).astype(np.float64)

    def auc(drawn: Array) -> Array:
        counts = drawn.astype(np.float64)
        pairs = (counts @ positives) * (counts @ negatives)
        wins = ((counts @ won) * counts).sum(axis=1)
        return np.asarray(np.divide(wins, pairs, out=np.full_like(wins, np.nan), where=pairs > 0))

    return auc


def _sum_of_products(one: Array, other: Array) -> float:
    """Return the sum of products as a double, in this thread.

    A product by BLAS wakes as many threads as there are cores for a vector of this length, which
    costs ten times what they save, and sums in another order on another machine.
    """
    return float(np.einsum("i,i->", one, other, dtype=np.float64, casting="safe"))


def _ascending(label: Array, score: Array) -> tuple[Array, Array]:
    """Return the positive and the negative rows, each from the lowest score to the highest."""
    order = np.argsort(score, kind="stable")
    return order[label[order] == 1], order[label[order] == 0]


def _weighed(
    metric: Callable[[Array, Array], float], positive: Array, negative: Array
) -> _Statistic:
    """Return ``metric`` of positive rows' weights and of negative rows' cumulated ones.

    The counts stay 32-bit integers: summing them up is several times faster than of doubles.
    """

    def statistic(drawn: Array) -> Array:
        found = np.empty(len(drawn))
        passed = np.zeros(len(negative) + 1, dtype=np.int32)
        for place, counts in enumerate(drawn.astype(np.int32, copy=False)):
            np.cumsum(counts.take(negative), dtype=np.int32, out=passed[1:])
            found[place] = metric(counts.take(positive), passed)
        return found

    return statistic
