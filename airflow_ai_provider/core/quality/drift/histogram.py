"""The shares that a picture of drift shows: the reference beside now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import numpy as np

from airflow_ai_provider.core.quality.drift.categories import Categories
from airflow_ai_provider.core.quality.drift.columns import ColumnValues
from airflow_ai_provider.core.quality.drift.measures import Kind
from airflow_ai_provider.core.quality.drift.numbers import Array, Sample, Sketch

BARS = 24  # of numbers
NAMES = 10  # of categories: those whose share changed most
_SHOWN = 0.01  # the share at either end that the picture folds into its outermost bars


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Shares by bar. ``labels`` name the bars, or the edges between them (one more than bars)."""

    labels: tuple[str, ...]
    reference: tuple[float, ...]
    now: tuple[float, ...]
    left_out: int = 0  # categories without a bar


def histogram(reference: ColumnValues, now: ColumnValues) -> Histogram | None:
    """Return the histogram of both; None when neither has a value."""
    old, new = reference.values, now.values
    if isinstance(old, Categories) and isinstance(new, Categories):
        return _of_categories(old, new)
    if isinstance(old, Categories) or isinstance(new, Categories):
        return None
    return _of_numbers(old, new, reference.kind)


def _of_categories(old: Categories, new: Categories) -> Histogram | None:
    total_old, total_new = old.count or 1, new.count or 1
    names = {*old.counts, *new.counts}
    share = {n: (old.counts.get(n, 0) / total_old, new.counts.get(n, 0) / total_new) for n in names}
    moved = sorted(names, key=lambda n: (-abs(share[n][0] - share[n][1]), -max(share[n]), n))
    shown = sorted(moved[:NAMES], key=lambda n: (-share[n][0], n))
    if not shown:
        return None
    return Histogram(
        labels=tuple(shown),
        reference=tuple(share[n][0] for n in shown),
        now=tuple(share[n][1] for n in shown),
        left_out=len(names) + old.tail_categories - len(shown),
    )


def _of_numbers(old: Sample | Sketch, new: Sample | Sketch, kind: Kind) -> Histogram | None:
    ends = [float(v) for side in (old, new) if side.count for v in _ends(side)]
    ends = [v for v in ends if np.isfinite(v)]
    if not ends:
        return None
    low, high = min(ends), max(ends)
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BARS + 1)
    return Histogram(
        labels=tuple(_label(float(edge), kind) for edge in edges),
        reference=_shares(old, edges),
        now=_shares(new, edges),
    )


def _ends(side: Sample | Sketch) -> tuple[float, float]:
    hundredths = side.quantiles(int(1 / _SHOWN))
    return hundredths[0], hundredths[-1]


def _shares(side: Sample | Sketch, edges: Array) -> tuple[float, ...]:
    if not side.count:
        return (0.0,) * (len(edges) - 1)
    inner = side.below(edges[1:-1])
    return tuple(float(v) for v in np.diff(np.r_[0, inner, side.count]) / side.count)


def _label(value: float, kind: Kind) -> str:
    if kind is not Kind.TIME:
        return f"{value:.4g}"
    try:
        moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=value)
    except OverflowError:
        return f"{value:.4g}"
    return moment.strftime("%Y-%m-%d %H:%M")
