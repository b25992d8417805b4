"""The values of a numeric column: all of them, sorted, or a sketch of them that can be stored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
STEPS = 1_000  # between two points of a sketch lies less than a 1,000th of the rows
_COUNTED = 4  # cells for each row, up to which counting beats sorting
EXACT_VALUES = 2_000  # up to so many different values a sketch holds them all


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Every value, sorted, none missing; infinities are values."""

    values: Array

    @classmethod
    def of(cls, values: Array) -> Sample:
        """Return the sample of ``values`` in any order; they are sorted here, once."""
        return cls(values=_sorted(values))

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self.values)

    @property
    def exact(self) -> bool:
        """Whether nothing is left out."""
        return True

    def below(self, points: Array) -> Array:
        """Return how many values lie below each of ``points``."""
        return np.searchsorted(self.values, points, side="left")

    def at_most(self, points: Array) -> Array:
        """Return how many values lie at or below each of ``points``."""
        return np.searchsorted(self.values, points, side="right")

    def quantiles(self, parts: int) -> Array:
        """Return the values that divide the sample in ``parts`` (their number less one).

        The smallest value with at least that share of values at or below it: the inverted
        distribution function, type 1 of Hyndman and Fan (1996).
        """
        return self.values[_ranks(self.count, parts)[:-1]]

    def deviation(self) -> float:
        """Return the standard deviation of the finite values; 0 of none."""
        finite = self.finite()
        with np.errstate(over="ignore", invalid="ignore"):
            return float(finite.std()) if len(finite) else 0.0

    def mean(self) -> float:
        """Return the mean of the finite values; 0 of none."""
        finite = self.finite()
        with np.errstate(over="ignore", invalid="ignore"):
            return float(finite.mean()) if len(finite) else 0.0

    def finite(self) -> Array:
        """Return the values that are not infinite."""
        if self.values.dtype.kind in "iu":
            return self.values
        low = int(np.searchsorted(self.values, -np.inf, side="right"))
        return self.values[low : int(np.searchsorted(self.values, np.inf, side="left"))]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sketch:
    """Some of the values, ascending, each with how many rows lie below it and at or below it.

    So the distribution function is known exactly at each point, and between two points it lies
    between what it is at them. The least and the greatest value are points, and of the finite ones.
    """

    points: Array
    rows_below: Array
    rows_at_most: Array
    centre: float
    spread: float

    @classmethod
    def of(cls, sample: Sample) -> Sketch:
        """Return the sketch of ``sample``: every different value where they are few."""
        values = sample.values
        starts = np.flatnonzero(np.r_[len(values) > 0, values[1:] != values[:-1]])
        if len(starts) <= EXACT_VALUES:
            points = values[starts]
        else:
            finite = sample.finite()  # its ends are points: no row lies between one and infinity
            points = np.unique(np.r_[values[_dense_ranks(sample.count)], finite[:1], finite[-1:]])
        return cls(
            points=points,
            rows_below=sample.below(points),
            rows_at_most=sample.at_most(points),
            centre=sample.mean(),
            spread=sample.deviation(),
        )

    @property
    def count(self) -> int:
        """How many values it stands for."""
        return int(self.rows_at_most[-1]) if len(self.points) else 0

    @property
    def gaps(self) -> Array:
        """How many rows lie between each point and the next, where is not known."""
        return self.rows_below[1:] - self.rows_at_most[:-1]

    @property
    def exact(self) -> bool:
        """Whether nothing is left out."""
        return not self.gaps.any()

    def below(self, points: Array) -> Array:
        """Return how many values lie below each of ``points``: exact at points of the sketch."""
        return self._between(points, np.searchsorted(self.points, points, side="left"), self._lower)

    def at_most(self, points: Array) -> Array:
        """Return how many values lie at or below each of ``points``."""
        place = np.searchsorted(self.points, points, side="right")
        return self._between(points, place, self._upper)

    def _lower(self, found: Array) -> Array:
        return self.rows_below[found]

    def _upper(self, found: Array) -> Array:
        return self.rows_at_most[found]

    def _between(self, points: Array, place: Array, at: Any) -> Array:
        """Count at ``points``: at its own points as stored, between them as if rows lay evenly."""
        last = len(self.points) - 1
        under = np.clip(place - 1, 0, last)
        over = np.clip(place, 0, last)
        low, high = self.points[under], self.points[over]
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.where(high > low, (points - low) / (high - low), 0.0)
        part = np.where(np.isfinite(part), np.clip(part, 0.0, 1.0), 0.0)
        inside = self.rows_at_most[under] + part * (
            self.rows_below[over] - self.rows_at_most[under]
        )
        inside = np.where(place == 0, 0, np.where(place > last, self.count, inside))
        nearest = np.clip(np.searchsorted(self.points, points), 0, last)
        return np.where(self.points[nearest] == points, at(nearest), inside)

    def quantiles(self, parts: int) -> Array:
        """Return the values that divide the rows in ``parts``, as of the whole sample.

        Exact where ``parts`` divides ``STEPS``, since these ranks are among the points.
        """
        ranks = _ranks(self.count, parts)[:-1]
        return self.points[np.searchsorted(self.rows_at_most, ranks, side="right")]

    def deviation(self) -> float:
        """Return the standard deviation of the sample's finite values."""
        return self.spread

    def mean(self) -> float:
        """Return the mean of the sample's finite values."""
        return self.centre


def _sorted(values: Array) -> Array:
    """Return ``values`` sorted: whole numbers close together are counted, which is faster."""
    if values.dtype.kind not in "iu" or not len(values):
        return np.sort(values)
    low, high = int(values.min()), int(values.max())
    if high - low > _COUNTED * len(values):
        return np.sort(values)
    counts = np.bincount(values.astype(np.int64) - low)
    return np.repeat(np.arange(low, high + 1, dtype=values.dtype), counts)


def _ranks(count: int, parts: int) -> Array:
    """Return the places of the quantiles i / ``parts`` for i = 1 ... ``parts``, in integers."""
    steps = np.arange(1, parts + 1, dtype=np.int64)
    return np.maximum((steps * count + parts - 1) // parts - 1, 0)


def _dense_ranks(count: int) -> Array:
    """Return ranks evenly over the sample, and ever closer ones to both ends."""
    return np.unique(np.r_[_ranks(count, STEPS), np.array(tail_ranks(count), dtype=np.int64)])


def tail_ranks(count: int) -> list[int]:
    """Return ranks ever closer to both ends, the ends among them.

    The ends are where the values of a long-tailed column lie far apart, and so where the unknown
    between two points costs most.
    """
    step = count / STEPS
    tail = [math.floor(step * part / 8 / 2**fold) for fold in range(24) for part in range(4, 8)]
    near = {0, *tail}
    return sorted(near | {count - 1 - rank for rank in near})
