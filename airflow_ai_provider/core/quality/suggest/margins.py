"""Bounds with room: what was seen, widened and rounded outwards as a person would write it."""

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import Any

ROOM = Decimal("0.25")  # of the span, to each side
_YEARS = range(1700, 2200)  # pandas' nanoseconds end in 2262, and honest data before
Number = float | Decimal


def number_bounds(least: Number, most: Number) -> tuple[float | None, float | None]:
    """Return bounds around numbers from ``least`` to ``most``; None where there can be none.

    A quarter of the span is added to each side. Zero is not crossed: what was never negative is
    not expected to be. Shares stay within 0 and 1.
    """
    low_known, high_known = (math.isfinite(float(v)) for v in (least, most))
    if not (low_known and high_known):
        return None, None
    with localcontext() as context:
        context.prec = 700  # a double has up to 767 digits before its point and after
        low, high = Decimal(least), Decimal(most)
        if low >= 0 and high <= 1 and not high == low == low.to_integral_value():
            return 0, 1
        span = high - low
        room = span * ROOM if span else max(abs(high) * ROOM, Decimal(1))
        step = Decimal(10) ** room.adjusted()
        below = ((low - room) / step).to_integral_value(ROUND_FLOOR) * step
        above = ((high + room) / step).to_integral_value(ROUND_CEILING) * step
        if low >= 0:
            below = max(below, Decimal(0))
        if low < 0 and high <= 0:
            above = min(above, Decimal(0))
        return _written(below), _written(above)


def _written(value: Decimal) -> float | None:
    """Return it as JSON writes it: whole numbers whole; None beyond a double's range."""
    rounded = float(value)
    if not math.isfinite(rounded):
        return None
    return int(value) if value == value.to_integral_value() and abs(value) < 10**18 else rounded


def time_bounds(least: date, most: date) -> tuple[str | None, str | None]:
    """Return bounds around days or times, as ISO 8601: whole years, one before and two after."""
    low = _year(least, least.year - 1) if least.year - 1 in _YEARS else None
    high = _year(most, most.year + 2) if most.year + 2 in _YEARS else None
    return low, high


def _year(like: date, year: int) -> str:
    if isinstance(like, datetime):
        return datetime(year, 1, 1, tzinfo=like.tzinfo).isoformat()
    return date(year, 1, 1).isoformat()


def count_bounds(count: int) -> tuple[int, int]:
    """Return bounds around a number of rows: half to double, rounded outwards."""
    step = 10 ** max(len(str(count)) - 2, 0)
    low = count // 2 // step * step
    return max(low, 1), -(-2 * count // step) * step


def share_below(share: float) -> float:
    """Return a share that leaves room below ``share``: twice as many may be missing."""
    room = max(0.05, 1 - share)
    return max(0.0, math.floor((share - room) * 100) / 100)


def bounded(name: str, low: Any, high: Any) -> dict[str, Any]:
    """Return the arguments of an expectation on column ``name`` with the bounds there are."""
    found = {"column": name, "min_value": low, "max_value": high}
    return {k: v for k, v in found.items() if v is not None}
