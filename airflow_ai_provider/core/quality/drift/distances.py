"""How far apart two numeric samples are: Kolmogorov-Smirnov and Wasserstein from one merge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from airflow_ai_provider.core.quality.drift.numbers import Array, Sample, Sketch
from airflow_ai_provider.core.quality.drift.tails import ks_tail

_BLOCK = 1 << 12  # values of the longer sample that are merged at a time: no array needs a mapping


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Two distances, and by how much each can be wrong (0: exact)."""

    ks: float
    ks_p_value: float
    wasserstein: float
    ks_error: float = 0.0
    ks_p_value_error: float = 0.0
    wasserstein_error: float = 0.0


def distances(reference: Sample | Sketch, now: Sample | Sketch) -> Distances | None:
    """Return the two-sample distances; None when a side is empty.

    *Kolmogorov-Smirnov* (Smirnov 1939): the greatest difference of the two distribution functions,
    as ``scipy.stats.ks_2samp``, its p-value as with ``method="asymp"``. Against a sketch the true
    value lies between ``ks`` and ``ks + ks_error``, and its p-value as far below ``ks_p_value``.

    *Wasserstein-1* (Vallender 1974): the area between the two distribution functions, in the
    column's own unit, as ``scipy.stats.wasserstein_distance``; infinite when the shares at an
    infinity differ. Against a sketch, rows between two points are taken to lie evenly; the true
    value differs by at most ``wasserstein_error``, half the area that they could have moved over.
    Where the other side is a sketch as well (a table, counted where it is), both areas count.
    """
    if not (reference.count and now.count):
        return None
    if isinstance(now, Sketch):
        mine = reference if isinstance(reference, Sketch) else Sketch.of(reference)
        return _both_sketched(mine, now)
    if isinstance(reference, Sample):
        return _exact(reference, now)
    return _sketched(reference, now)


def _exact(reference: Sample, now: Sample) -> Distances:
    """Merge both sorted samples, a block at a time: fresh large arrays cost more than sums."""
    n, m = reference.count, now.count
    mine, theirs = reference.finite(), now.finite()
    # (F - G) * n * m, in whole numbers: exact
    apart = _count_at(reference, -np.inf) * m - _count_at(now, -np.inf) * n
    same_end = _count_at(reference, np.inf) * m == _count_at(now, np.inf) * n
    furthest, area = abs(apart), 0.0 if same_end and not apart else float("inf")
    last: float | None = None
    for old, new in _blocks(mine, theirs):
        both = np.concatenate([old, new])
        order = both.argsort(kind="stable")  # two sorted runs: one linear merge
        both = both[order]
        between = np.where(order < len(old), np.int64(m), np.int64(-n))
        between[0] += apart
        np.cumsum(between, out=between)
        if last is not None:
            area += abs(apart) / (n * m) * (float(both[0]) - last)
        apart, last = int(between[-1]), float(both[-1])
        np.abs(between, out=between)
        untied = both[1:] != both[:-1]
        furthest = max(furthest, abs(apart), np.max(between[:-1], where=untied, initial=0))
        with np.errstate(over="ignore"):
            widths = np.diff(both.astype(np.float64, copy=False))
            area += float(np.dot(between[:-1] / (n * m), widths))  # shares first: no overflow
    ks = int(furthest) / (n * m)
    return Distances(ks=ks, ks_p_value=ks_tail(ks, n, m), wasserstein=area)


def _blocks(mine: Array, theirs: Array) -> Iterator[tuple[Array, Array]]:
    """Yield both samples in parts of ascending values; equal values are in one part."""
    longer = mine if len(mine) >= len(theirs) else theirs
    cuts = longer[_BLOCK::_BLOCK]
    starts = [np.r_[0, np.searchsorted(side, cuts), len(side)] for side in (mine, theirs)]
    for place in range(len(cuts) + 1):
        (a, b), (c, d) = (side[place : place + 2] for side in starts)
        if b > a or d > c:
            yield mine[a:b], theirs[c:d]


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
        ks_p_value=(p_value := ks_tail(known, n, m)),
        ks_error=possible - known,
        ks_p_value_error=p_value - ks_tail(possible, n, m),
        wasserstein=wasserstein,
        wasserstein_error=error,
    )


def _both_sketched(reference: Sketch, now: Sketch) -> Distances:
    n, m = reference.count, now.count
    points = np.unique(np.concatenate([reference.points, now.points]))
    low, high = _bounds(reference, points)
    other_low, other_high = _bounds(now, points)
    known = float(max(0.0, np.max(low - other_high), np.max(other_low - high)))
    # every second bound is that at a point, and the one behind it that before the next
    above, under = high[2::2] - other_low[1:-1:2], other_high[2::2] - low[1:-1:2]
    at_points = (high - other_low, other_high - low)
    possible = float(max(known, *(np.max(a, initial=0.0) for a in (above, under, *at_points))))
    area, error = _areas_between(reference, now, points)
    return Distances(
        ks=known,
        ks_p_value=(p_value := ks_tail(known, n, m)),
        ks_error=possible - known,
        ks_p_value_error=p_value - ks_tail(possible, n, m),
        wasserstein=area,
        wasserstein_error=error,
    )


def _bounds(side: Sketch, points: Array) -> tuple[Array, Array]:
    """Return the least and the greatest that the distribution can be, before and at each point."""
    place = np.searchsorted(side.points, points)
    own = np.isin(points, side.points)
    here = np.clip(place, 0, len(side.points) - 1)
    least = np.where(place > 0, side.rows_at_most[np.clip(place - 1, 0, None)], 0)
    most = np.where(place < len(side.points), side.rows_below[here], side.count)
    before = [np.where(own, side.rows_below[here], bound) for bound in (least, most)]
    at = [np.where(own, side.rows_at_most[here], bound) for bound in (least, most)]
    low, high = (np.column_stack(pair).ravel() for pair in zip(before, at, strict=True))
    return low / side.count, high / side.count


def _areas_between(reference: Sketch, now: Sketch, points: Array) -> tuple[float, float]:
    """Return the area between two sketches, rows lying evenly between points, and its error."""
    n, m = reference.count, now.count
    for infinity in (-np.inf, np.inf):
        if _count_at(reference, infinity) * m != _count_at(now, infinity) * n:
            return float("inf"), 0.0
    cuts = points[np.isfinite(points)].astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        begin = reference.at_most(cuts[:-1]) / n - now.at_most(cuts[:-1]) / m
        end = reference.below(cuts[1:]) / n - now.below(cuts[1:]) / m
        error = sum(_hidden_area(side) for side in (reference, now))
        return float(np.dot(_mean_distance(begin, end), np.diff(cuts))), error


def _hidden_area(side: Sketch) -> float:
    """Return half the area over which the rows between the points could have moved."""
    finite = np.isfinite(side.points)
    widths = np.diff(side.points[finite].astype(np.float64, copy=False))
    return float(np.dot(side.gaps[finite[1:] & finite[:-1]], widths)) / (2 * side.count)


def _sketched_area(reference: Sketch, now: Sample) -> tuple[float, float]:
    """Return the area between a sketch and a sample, and its error.

    Over the merged points and values: from one to the next the sample's function is level and the
    sketch's a straight line. Nothing is searched for: a step's place tells how many values, and how
    many points, lie at or below it (where several are equal the way to the next is nothing long).
    """
    n, m = reference.count, now.count
    values = now.finite().astype(np.float64, copy=False)
    least = now.count - len(values) - _count_at(now, np.inf)  # how many are minus infinity
    finite = np.isfinite(reference.points)
    points = reference.points[finite].astype(np.float64, copy=False)
    for infinity in (-np.inf, np.inf):
        if _count_at(reference, infinity) * m != _count_at(now, infinity) * n:
            return float("inf"), 0.0
    steps = np.concatenate([points, values])
    steps.sort(kind="stable")
    if len(steps) < 2:
        return 0.0, 0.0
    widths, gaps = np.diff(points), reference.gaps[finite[1:] & finite[:-1]]
    below, at_most = reference.rows_below[finite], reference.rows_at_most[finite]
    begins = np.r_[below[0], at_most] / n if len(points) else np.zeros(1)
    slopes = np.r_[0.0, gaps / widths / n, 0.0] if len(points) else np.zeros(1)
    places = np.searchsorted(steps, points, side="right") - 1
    piece = np.repeat(np.arange(len(points) + 1), np.diff(np.r_[0, places, len(steps) - 1]))
    origins = np.r_[0.0, points][piece]
    mine = (least + np.arange(1, len(steps)) - piece) / m
    with np.errstate(over="ignore", invalid="ignore"):
        level, slope = begins[piece] - mine, slopes[piece]
        begin, end = level + slope * (steps[:-1] - origins), level + slope * (steps[1:] - origins)
        error = float(np.dot(gaps, widths)) / (2 * n)
        return float(np.dot(_mean_distance(begin, end), np.diff(steps))), error


def _count_at(side: Sample | Sketch, value: float) -> int:
    point = np.array([value])
    return int(side.at_most(point)[0] - side.below(point)[0])


def _mean_distance(begin: Array, end: Array) -> Array:
    """Return the mean absolute value of a straight line from ``begin`` to ``end``."""
    total = np.abs(begin) + np.abs(end)
    crossing = (begin * end < 0) & (total > 0)
    divisor = np.where(crossing, total, 1.0)
    return np.where(crossing, (begin**2 + end**2) / (2 * divisor), total / 2)
