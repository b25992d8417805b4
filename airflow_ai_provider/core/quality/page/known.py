"""The picture of a failed expectation from its result alone: nothing more is read for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_ai_provider.core.quality.page.known_own import own_picture
from airflow_ai_provider.core.quality.page.pictures import (
    Bars,
    Gauge,
    Names,
    Parts,
    Picture,
    shown,
)

_BARS = 12
_NAMES = 40
_NULLS = "expect_column_values_to_not_be_null"
_SETS = ("column_set", "column_list", "value_set")


def known_picture(
    kind: str, kwargs: Mapping[str, Any], result: Mapping[str, Any], *, values: bool = True
) -> Picture | None:
    """Return the picture of an expectation ``kind`` that failed, in Great Expectations' shape.

    ``values``: whether it may show values of rows.
    """
    if own := own_picture(kwargs, result.get("details")):
        return own
    bars = _sampled(result) if values and kind != _NULLS else None
    if bars and bars.bars[0][1] > 1:
        return bars
    if parts := _parts(kind, result) or _distinct(result, values=values) or bars:
        return parts
    observed = result.get("observed_value")
    if isinstance(observed, (int, float)) and not isinstance(observed, bool):
        return _gauge(kwargs, float(observed))
    if kind == "expect_column_to_exist":
        return Names(names=((shown(kwargs.get("column")), "missing"),))
    if isinstance(observed, Mapping) and "quantile_ranges" in kwargs:
        return _quantile(kwargs["quantile_ranges"], observed)
    if wanted := kwargs.get("type_") or kwargs.get("type_list"):
        return _type(wanted, observed)
    if isinstance(observed, Sequence) and not isinstance(observed, str):
        about_values = "value_set" in kwargs
        return _names(kwargs, observed) if values or not about_values else None
    return None


def _sampled(result: Mapping[str, Any]) -> Bars | None:
    counts = result.get("partial_unexpected_counts") or []
    found = [(c.get("value"), int(c.get("count") or 0)) for c in counts if isinstance(c, Mapping)]
    found = [(v, n) for v, n in found if v is not None]
    if not found:
        return None
    found.sort(key=lambda pair: -pair[1])
    return Bars(
        bars=tuple((shown(value), count) for value, count in found[:_BARS]),
        more=max(0, len(found) - _BARS),
        rows=sum(count for _, count in found[_BARS:]),
        sampled=True,
    )


def _parts(kind: str, result: Mapping[str, Any]) -> Parts | None:
    total, failed = result.get("element_count"), result.get("unexpected_count")
    if not isinstance(total, int) or not isinstance(failed, int):
        return None
    missing = result.get("missing_count") or 0
    if kind == _NULLS:
        return Parts(parts=(("present", total - failed, "met"), ("missing", failed, "failed")))
    if kind == "expect_column_values_to_be_null":
        return Parts(parts=(("missing", total - failed, "met"), ("present", failed, "failed")))
    parts = [("as expected", max(0, total - missing - failed), "met")]
    if missing:
        parts.append(("missing", missing, "missing"))
    return Parts(parts=(*parts, ("unexpected", failed, "failed")))


def _distinct(result: Mapping[str, Any], *, values: bool) -> Picture | None:
    """Return what is told of distinct values: those that are missing, or only how many."""
    counts = [int(result.get(name) or 0) for name in ("unexpected_count", "missing_count")]
    if not any(counts):
        return None
    if values and counts[1] and (listed := result.get("partial_missing_list")):
        names = [(shown(name), "missing") for name in list(listed)[:_NAMES]]
        return Names(names=tuple(names), more=max(0, sum(counts) - len(names)))
    words = (("unexpected values", "failed"), ("missing values", "missing"))
    return Parts(
        parts=tuple((word, n, look) for (word, look), n in zip(words, counts, strict=True) if n)
    )


def _quantile(wanted: Any, observed: Mapping[str, Any]) -> Gauge | None:
    """Return the first quantile that is out of its range."""
    ranges = wanted.get("value_ranges") if isinstance(wanted, Mapping) else None
    for value, limits in zip(observed.get("values") or (), ranges or (), strict=False):
        low, high = (_number(limit) for limit in limits)
        seen = _number(value)
        if seen is None:
            continue
        if (low is not None and seen < low) or (high is not None and seen > high):
            return Gauge(value=seen, low=low, high=high)
    return None


def _type(wanted: Any, observed: Any) -> Names:
    expected = [wanted] if isinstance(wanted, str) else list(wanted)[:_NAMES]
    there = [(shown(observed), "failed")] if observed is not None else []
    return Names(names=(*there, *((shown(name), "missing") for name in expected)))


def _gauge(kwargs: Mapping[str, Any], observed: float) -> Gauge | None:
    low, high = (_number(kwargs.get(name)) for name in ("min_value", "max_value"))
    if "value" in kwargs and low is None and high is None:
        low = high = _number(kwargs["value"])
    if low is None and high is None:
        high = _number(kwargs.get("threshold"))
    if not math.isfinite(observed) or (low is None and high is None):
        return None
    return Gauge(value=observed, low=low, high=high)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _names(kwargs: Mapping[str, Any], observed: Sequence[Any]) -> Names | None:
    wanted = next((kwargs[name] for name in _SETS if isinstance(kwargs.get(name), Sequence)), None)
    if wanted is None:
        return None
    expected, there = [shown(v) for v in wanted], [shown(v) for v in observed]
    missing = [(name, "missing") for name in dict.fromkeys(expected) if name not in set(there)]
    failed = [(name, "failed") for name in dict.fromkeys(there) if name not in set(expected)]
    met = [(name, "met") for name in dict.fromkeys(there) if name in set(expected)]
    names = [*missing, *failed, *met]
    return Names(names=tuple(names[:_NAMES]), more=max(0, len(names) - _NAMES))
