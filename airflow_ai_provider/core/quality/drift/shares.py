"""Statistics of two vectors of counts over the same bins or categories.

A statistic that cannot be had (one side has no rows) is None: unknown is not "no difference".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_ai_provider.core.quality.drift.tails import chi_squared_tail

Counts = Sequence[int] | NDArray[Any]
LEAST_SHARE = 1e-4  # what an empty bin's share is taken for in PSI: its logarithm is finite


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A test's statistic with its p-value."""

    statistic: float
    p_value: float


def population_stability(reference: Counts, now: Counts) -> float | None:
    """Return the population stability index: the sum of (now - ref) * ln(now / ref) over shares.

    Siddiqi, Credit Risk Scorecards (2006), who also gives the customary limits 0.1 and 0.25; the
    sum is Jeffreys' divergence (1946). A share below ``LEAST_SHARE`` is taken for it, on either
    side; the others are left as they are.
    """
    pair = _shares(reference, now)
    if pair is None:
        return None
    p, q = (np.maximum(share, LEAST_SHARE) for share in pair)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: Counts, now: Counts) -> float | None:
    """Return the Jensen-Shannon distance to the base 2: 0 alike, 1 nothing in common.

    The root of the divergence of Lin (1991), a metric by Endres and Schindelin (2003); equal to
    ``scipy.spatial.distance.jensenshannon(p, q, base=2)``.
    """
    pair = _shares(reference, now)
    if pair is None:
        return None
    p, q = pair
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return math.sqrt(max(0.0, divergence / math.log(2)))


def chi_squared(reference: Counts, now: Counts) -> Tested | None:
    """Return Pearson's (1900) chi-squared of the two samples being of one distribution.

    With Yates' correction at one degree of freedom; equal to ``scipy.stats.chi2_contingency`` on
    the table of both rows without the columns that are empty in both.
    """
    table = np.array([np.asarray(reference), np.asarray(now)], dtype=np.float64)
    table = table[:, table.sum(axis=0) > 0]
    rows = table.sum(axis=1, keepdims=True)
    if not rows.all():
        return None
    freedom = table.shape[1] - 1
    if freedom == 0:
        return Tested(statistic=0.0, p_value=1.0)
    expected = rows * table.sum(axis=0) / table.sum()
    difference = expected - table
    if freedom == 1:
        difference = np.maximum(np.abs(difference) - 0.5, 0.0)
    statistic = float((difference**2 / expected).sum())
    return Tested(statistic=statistic, p_value=chi_squared_tail(statistic, freedom))


def _shares(reference: Counts, now: Counts) -> tuple[NDArray[Any], NDArray[Any]] | None:
    p, q = np.asarray(reference, dtype=np.float64), np.asarray(now, dtype=np.float64)
    if not (p.sum() > 0 and q.sum() > 0):
        return None
    return p / p.sum(), q / q.sum()


def _relative_entropy(p: NDArray[Any], q: NDArray[Any]) -> float:
    there = p > 0
    return float((p[there] * np.log(p[there] / q[there])).sum())
