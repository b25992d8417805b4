"""Pictures of the report: plain SVG, drawn by hand, with nothing to load."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _LEFT, _RIGHT = 960.0, 170.0, 16.0
_ROW, _GAP, _AXIS = 18.0, 8.0, 26.0
_TOUCHING = 1e-3  # seconds; what rounding makes of a bar that begins where one ends


@dataclass(frozen=True, kw_only=True)
class Bar:
    """Something that lasted from ``began`` to ``ended`` (seconds)."""

    began: float
    ended: float
    look: str  # a CSS class
    title: str
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One measured value at place ``x`` (0, 1, 2...), with its interval where there is one."""

    x: int
    value: float
    low: float | None = None
    high: float | None = None
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points that belong together; ``joined`` draws a line through them."""

    name: str
    look: str
    points: Sequence[Point]
    joined: bool = True


def lanes(rows: Sequence[tuple[str, Sequence[Bar]]], *, seconds: float, title: str) -> str:
    """Return bars over time, one lane for each row; what overlaps is stacked."""
    scale = _scale(0.0, max(seconds, 1.0), _LEFT, _WIDTH - _RIGHT)
    parts: list[str] = []
    y = _GAP
    for name, bars in rows:
        stacked = _stack(bars)
        depth = max((level for level, _ in stacked), default=0) + 1
        parts.append(_text(_LEFT - 10, y + _ROW * 0.7, name, "lane", "end"))
        parts += [_bar(bar, scale, y + level * _ROW) for level, bar in stacked]
        y += depth * _ROW + _GAP
        parts.append(_line(_LEFT, y - _GAP / 2, _WIDTH - _RIGHT, y - _GAP / 2, "grid"))
    for tick in _ticks(0.0, max(seconds, 1.0)):
        x = scale(tick)
        parts.insert(0, _line(x, 0, x, y, "grid"))
        parts.append(_text(x, y + 16, f"{tick:.0f} s", "tick", "middle"))
    return _picture(y + _AXIS, parts, title)


def chart(
    series: Sequence[Series],
    *,
    places: Sequence[str],
    title: str,
    unit: str,
    band: tuple[float, float] | None = None,
    height: float = 240.0,
) -> str:
    """Return values at ``places`` with their intervals; ``band`` is where nothing is wrong."""
    values = [
        v for s in series for p in s.points for v in (p.value, p.low, p.high) if v is not None
    ]
    low, high = _room([*values, *(band or ())])
    bottom = height - _AXIS
    across = _scale(-0.5, max(len(places) - 0.5, 0.5), _LEFT, _WIDTH - _RIGHT)
    up = _scale(low, high, bottom, 24.0)
    parts = [_text(_LEFT - 10, 14, unit, "tick", "end")]
    if band:
        top = up(band[1])
        parts.append(
            f'<rect class="band" x="{_LEFT}" y="{top:.1f}" '
            f'width="{_WIDTH - _RIGHT - _LEFT}" height="{up(band[0]) - top:.1f}"/>'
        )
    for tick in _ticks(low, high):
        parts.append(_line(_LEFT, up(tick), _WIDTH - _RIGHT, up(tick), "grid"))
        parts.append(_text(_LEFT - 10, up(tick) + 4, f"{tick:.3g}", "tick", "end"))
    for place, name in enumerate(places):
        parts.append(_text(across(place), height - 8, name, "tick", "middle"))
    for number, each in enumerate(series):
        parts += _curve(each, across, up)
        x = _LEFT + 8 + number * 210
        parts.append(f'<circle class="{escape(each.look)}" cx="{x}" cy="10" r="4"/>')
        parts.append(_text(x + 10, 14, each.name, "legend", "start"))
    return _picture(height, parts, title)


def _curve(
    series: Series, across: Callable[[float], float], up: Callable[[float], float]
) -> list[str]:
    look = escape(series.look)
    places = [(across(p.x), up(p.value)) for p in series.points]
    parts: list[str] = []
    if series.joined and len(places) > 1:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="{look}" points="{path}"/>')
    for point, (x, y) in zip(series.points, places, strict=True):
        if point.low is not None and point.high is not None:
            parts.append(_line(x, up(point.low), x, up(point.high), f"{series.look} interval"))
        parts.append(
            f'<circle class="{look}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">'
            f"<title>{escape(point.title)}</title></circle>"
        )
    return parts


def _stack(bars: Iterable[Bar]) -> list[tuple[int, Bar]]:
    free_from: list[float] = []
    placed: list[tuple[int, Bar]] = []
    for bar in sorted(bars, key=lambda b: b.began):
        level = next(
            (n for n, t in enumerate(free_from) if t <= bar.began + _TOUCHING), len(free_from)
        )
        if level == len(free_from):
            free_from.append(0.0)
        free_from[level] = bar.ended
        placed.append((level, bar))
    return placed


def _bar(bar: Bar, scale: Callable[[float], float], y: float) -> str:
    x = scale(bar.began)
    width = max(scale(bar.ended) - x, 2.0)
    label = ""
    if bar.label and width > 7 * len(bar.label) + 6:
        label = _text(x + 4, y + _ROW * 0.7, bar.label, "inside", "start")
    return (
        f'<g><title>{escape(bar.title)}</title><rect class="{escape(bar.look)}" x="{x:.1f}" '
        f'y="{y + 1:.1f}" width="{width:.1f}" height="{_ROW - 2:.1f}" rx="2"/>{label}</g>'
    )


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _room(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float, about: int = 6) -> list[float]:
    span = high - low
    step = next(
        size
        for power in range(-6, 9)
        for size in (10.0**power, 2 * 10.0**power, 5 * 10.0**power)
        if span / size <= about
    )
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _line(x1: float, y1: float, x2: float, y2: float, look: str) -> str:
    place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line class="{escape(look)}" {place}/>'


def _text(x: float, y: float, text: str, look: str, anchor: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{look}" {place}>{escape(text)}</text>'


def _picture(height: float, parts: Iterable[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
