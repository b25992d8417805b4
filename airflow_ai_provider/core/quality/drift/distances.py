"""How far apart two numeric samples are: Kolmogorov-Smirnov and Wasserstein from one merge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from airflow_ai_provider.core.quality.drift.numbers import Array, Sample, Sketch
from airflow_ai_provider.core.quality.drift.tails import ks_tail


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Two distances, and by how much each can be wrong (0: exact)."""

    ks: float
    ks_p_value: float
    wasserstein: float
    ks_error: float = 0.0
    wasserstein_error: float = 0.0


def distances(reference: Sample | Sketch, now: Sample) -> Distances | None:
    """Return the two-sample distances; None when a side is empty.

    *Kolmogorov-Smirnov* (Smirnov 1939): the greatest difference of the two distribution functions,
    as ``scipy.stats.ks_2samp``, its p-value as with ``method="asymp"``. Against a sketch the true
    value lies between ``ks`` and ``ks + ks_error``.

    *Wasserstein-1* (Vallender 1974): the area between the two distribution functions, in the
    column's own unit, as ``scipy.stats.wasserstein_distance``; infinite when the shares at an
    infinity differ. Against a sketch, rows between two points are taken to lie evenly; the true
    value differs by at most ``wasserstein_error``, half the area that they could have moved over.
    """
    if not (reference.count and now.count):
        return None
    if isinstance(reference, Sample):
        return _exact(reference.values, now.values)
    return _sketched(reference, now)


def _exact(reference: Array, now: Array) -> Distances:
    n, m = len(reference), len(now)
    both = np.concatenate([reference, now])
    order = both.argsort(kind="stable")  # two sorted runs: one linear merge
    both = both[order]
    apart = np.cumsum(np.where(order < n, np.int64(m), np.int64(-n)))  # (F - G) * n * m, exactly
    np.abs(apart, out=apart)
    tied = both[1:] == both[:-1]
    ks = int(np.max(apart[:-1], where=~tied, initial=0)) / (n * m)
    return Distances(
        ks=ks, ks_p_value=ks_tail(ks, n, m), wasserstein=_area(both, apart[:-1]) / (n * m)
    )


def _area(both: Array, apart: Array) -> float:
    """Return the integral of ``apart`` (over the finite part of ``both``)."""
    both = both.astype(np.float64, copy=False)
    low = int(np.searchsorted(both, -np.inf, side="right"))
    high = int(np.searchsorted(both, np.inf, side="left"))
    if (low and apart[low - 1 : low].any()) or (high < len(both) and apart[high - 1 : high].any()):
        return float("inf")
    with np.errstate(over="ignore"):
        widths = np.diff(both[low:high])
        return float(np.dot(apart[low : max(low, high - 1)].astype(np.float64), widths))


def _sketched(reference: Sketch, now: Sample) -> Distances:
    n, m = reference.count, now.count
    points = reference.points
    below, at_most = now.below(points) / m, now.at_most(points) / m
    ref_below, ref_at_most = reference.rows_below / n, reference.rows_at_most / n
    known = float(np.max(np.maximum(np.abs(ref_below - below), np.abs(ref_at_most - at_most))))
    gaps = reference.gaps > 0
    above = np.where(gaps, ref_below[1:] - at_most[:-1], 0.0)
    under = np.where(gaps, below[1:] - ref_at_most[:-1], 0.0)
    possible = float(max(known, np.max(above, initial=0.0), np.max(under, initial=0.0)))
    wasserstein, error = _sketched_area(reference, now)
    return Distances(
        ks=known,
        ks_p_value=ks_tail(known, n, m),
        ks_error=possible - known,
        wasserstein=wasserstein,
        wasserstein_error=error,
    )


def _sketched_area(reference: Sketch, now: Sample) -> tuple[float, float]:
    n, m = reference.count, now.count
    points = reference.points.astype(np.float64, copy=False)
    values = now.values.astype(np.float64, copy=False)
    for infinity in (-np.inf, np.inf):
        there = int(
            reference.at_most(np.array([infinity]))[0] - reference.below(np.array([infinity]))[0]
        )
        here = int(np.count_nonzero(values == infinity))
        if there * m != here * n:
            return float("inf"), 0.0
    steps = np.concatenate([points[np.isfinite(points)], values[np.isfinite(values)]])
    steps.sort(kind="stable")
    if len(steps) < 2:
        return 0.0, 0.0
    starts, ends = steps[:-1], steps[1:]
    mine = np.searchsorted(values, starts, side="right") / m
    begin = reference.at_most(starts) / n - mine
    end = reference.below(ends) / n - mine
    finite = np.isfinite(points)
    with np.errstate(over="ignore", invalid="ignore"):
        error = float(np.dot(reference.gaps[finite[1:] & finite[:-1]], np.diff(points[finite])))
        return float(np.dot(_mean_distance(begin, end), ends - starts)), error / (2 * n)


def _mean_distance(begin: Array, end: Array) -> Array:
    """Return the mean absolute value of a straight line from ``begin`` to ``end``."""
    total = np.abs(begin) + np.abs(end)
    crossing = (begin * end < 0) & (total > 0)
    divisor = np.where(crossing, total, 1.0)
    return np.where(crossing, (begin**2 + end**2) / (2 * divisor), total / 2)
