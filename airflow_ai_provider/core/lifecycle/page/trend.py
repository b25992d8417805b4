"""A KPI over time, small enough to stand in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_WIDTH, _HEIGHT, _EDGE, _MOST = 150.0, 26.0, 4.0, 40


def trend(points: Sequence[Mapping[str, Any]]) -> str:
    """Return the newest numeric values as a line, the newest at the right; of one value nothing."""
    shown = [p for p in points if _is_number(p.get("value"))][-_MOST:]
    if len(shown) < 2:
        return ""
    values = [float(p["value"]) for p in shown]
    low, high = min(values), max(values)
    span = high - low or 1.0
    step = (_WIDTH - 2 * _EDGE) / (len(values) - 1)
    places = [
        (_EDGE + step * n, _HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * (v - low) / span)
        for n, v in enumerate(values)
    ]
    curve = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(
        f'<circle class="{look(p)}" cx="{x:.1f}" cy="{y:.1f}" r="2.4">'
        f"<title>{escape(_title(p))}</title></circle>"
        for p, (x, y) in zip(shown, places, strict=True)
    )
    words = escape(f"from {figure(values[0])} to {figure(values[-1])}")
    return (
        f'<svg class="spark" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" '
        f'aria-label="{words}"><polyline points="{curve}"/>{dots}</svg>'
    )


def look(point: Mapping[str, Any]) -> str:
    """Return the look of a point: whether its target was met, where that is known."""
    met = point.get("met")
    return "override" if met is None else "pass" if met else "fail"


def figure(value: Any) -> str:
    """Return a measured value as a person reads it."""
    if _is_number(value):
        return f"{value:,.4g}"
    return "" if value is None else str(value)


def _title(point: Mapping[str, Any]) -> str:
    return f"{point.get('at')}: {figure(point['value'])} ({point.get('of')})"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
