"""The few shapes that the pictures are made of; colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from html import escape

WIDTH = 640.0


def picture(height: float, parts: Iterable[str], title: str, *, width: float = WIDTH) -> str:
    """Return the picture of ``parts``, as high as said, which names itself to a screen reader."""
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def rect(x: float, y: float, width: float, height: float, look: str, title: str = "") -> str:
    """Return a rectangle, with words for who points at it."""
    place = f'x="{x:.2f}" y="{y:.2f}" width="{max(width, 0):.2f}" height="{max(height, 0):.2f}"'
    inner = f"<title>{escape(title)}</title>" if title else ""
    return f'<rect class="{look}" {place}>{inner}</rect>'


def line(x1: float, y1: float, x2: float, y2: float, look: str) -> str:
    """Return a line."""
    place = f'x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}"'
    return f'<line class="{look}" {place}/>'


def text(x: float, y: float, words: str, anchor: str = "start", look: str = "tick") -> str:
    """Return ``words``."""
    place = f'x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}"'
    return f'<text class="{look}" {place}>{escape(words)}</text>'


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Return round numbers from ``low`` to ``high``, about as many as said."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    power = math.floor(math.log10(span / about))
    step = next(
        size
        for size in (f * 10.0**p for p in (power, power + 1) for f in (1, 2, 5))
        if span / size <= about
    )
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def number(value: float) -> str:
    """Return a measured number as a person reads it."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"


def moment(seconds: float, span: float) -> str:
    """Return a time, as finely as a picture over ``span`` seconds needs it."""
    try:
        at = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    except OverflowError:
        return number(seconds)
    if span > 3 * 86_400:
        return at.strftime("%Y-%m-%d")
    return at.strftime("%m-%d %H:%M" if span > 7_200 else "%H:%M:%S")
