"""Bins of a numeric column, from quantiles of the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from airflow_ai_provider.core.quality.drift.numbers import Array, Sample, Sketch

PARTS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Bins:
    """Boundaries, ascending; ``before[i]`` says that the i-th excludes its own value.

    The first bin reaches down and the last one up without end.
    """

    values: Array
    before: Array

    @classmethod
    def of(cls, reference: Sample | Sketch) -> Bins:
        """Return the bins between the tenths of ``reference``.

        A bin ends at a tenth, itself included. A value that is two tenths or more (it fills a tenth
        of the rows) gets a bin of its own: zeros of a column that is mostly zero are not mixed with
        what lies below them.
        """
        if not reference.count:
            return cls(values=np.zeros(0), before=np.zeros(0, dtype=bool))
        tenths, often = np.unique(reference.quantiles(PARTS), return_counts=True)
        values = np.repeat(tenths, np.where(often > 1, 2, 1))
        before = np.r_[values[1:] == values[:-1], False]
        return cls(values=values, before=before)

    def counts(self, sample: Sample | Sketch) -> Array:
        """Return how many values of ``sample`` fall into each bin."""
        below, at_most = sample.below(self.values), sample.at_most(self.values)
        ends = np.where(self.before, below, at_most)
        return np.diff(np.r_[0, ends, sample.count])
