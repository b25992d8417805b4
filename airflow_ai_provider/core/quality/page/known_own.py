"""The picture of one of our own expectations, from the details of its result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_ai_provider.core.quality.own import seconds_of
from airflow_ai_provider.core.quality.page.pictures import Bars, Gauge, Names, Picture, shown

_MOST = 40
_HOUR = 3_600.0
_LOOKS = {"added": "failed", "retyped": "failed", "removed": "missing"}


def own_picture(kwargs: Mapping[str, Any], details: Any) -> Picture | None:
    """Return the picture that ``details`` allow; None where they say nothing that can be drawn.

    No value of a row is in them: what was found of personal data is kinds and counts.
    """
    if not isinstance(details, Mapping):
        return None
    if found := _found(details.get("found")):
        return found
    if isinstance(changed := details.get("changed"), Mapping) and changed:
        return _changed(changed)
    if (ratio := _finite(details.get("ratio"))) is not None:
        low, high = (_finite(kwargs.get(name)) for name in ("min_ratio", "max_ratio"))
        return Gauge(value=ratio, low=low, high=high, unit="x")
    age, most = _finite(details.get("age_seconds")), seconds_of(kwargs.get("max_age"))
    if age is None or most is None:
        return None
    return Gauge(value=age / _HOUR, high=most / _HOUR, unit="h")


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _found(listed: Any) -> Bars | None:
    if not isinstance(listed, Sequence) or not all(isinstance(f, Mapping) for f in listed):
        return None
    bars = [
        (shown(f"{f.get('column')}: {f.get('kind')}"), int(f.get("count") or 0)) for f in listed
    ]
    bars.sort(key=lambda bar: -bar[1])
    left = bars[_MOST:]
    return (
        Bars(bars=tuple(bars[:_MOST]), more=len(left), rows=sum(n for _, n in left))
        if bars
        else None
    )


def _changed(changed: Mapping[str, Any]) -> Names:
    names = [
        (shown(f"{name} ({kind})"), look)
        for kind, look in _LOOKS.items()
        for name in changed.get(kind) or ()
    ]
    return Names(names=tuple(names[:_MOST]), more=max(0, len(names) - _MOST))
