"""The DuckDB statements behind the pictures of failed row-level expectations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.quality.check import RELATION
from airflow_ai_provider.core.quality.ordered import ROW_NUMBER
from airflow_ai_provider.core.quality.page.pictures import LONGEST, Bars, Histogram, shown
from airflow_ai_provider.core.quality.sql import Column, Family

BARS = 40
_NAMED = 12
_MARGIN = 0.06  # of the width: room for the bar that holds what lies beyond the picture
_AWAY = 1.0  # how many widths a limit that nothing passes may lie outside and still be drawn
_COMBINED = 4  # columns of one label
_BETWEEN = "expect_column_values_to_be_between"
_LENGTHS = ("expect_column_value_lengths_to_be_between", "expect_column_value_lengths_to_equal")
_NUMBERS = (Family.INTEGER, Family.FLOAT, Family.DECIMAL)
_TIMES = (Family.TIMESTAMP, Family.DATE)


@dataclass(frozen=True, kw_only=True)
class Range:
    """What is drawn as a histogram: ``expression`` is its number, of failing rows and others.

    ``bounds`` is the statement that gives least, greatest, the 0.5 and 99.5 % quantiles and the
    two limits; ``whole``: the numbers are whole ones.
    """

    expression: str
    failing: str
    condition: str | None
    limits: tuple[str, str]
    unit: str
    whole: bool

    @property
    def bounds(self) -> str:
        """The statement that gives the ends."""
        low, high = self.limits
        return (
            "SELECT min(x), max(x), approx_quantile(x, 0.005), approx_quantile(x, 0.995), "  # noqa: S608
            f"{low}, {high} FROM (SELECT {self.expression} AS x FROM {self._where}) "
            "WHERE isfinite(x)"
        )

    def counts(self, ends: tuple[float, float], bars: int) -> str:
        """Return the statement that counts rows by bar and by whether they fail."""
        low, width = ends[0], (ends[1] - ends[0]) / bars
        place = f"least(greatest(floor((x - {low!r}) / {width!r}), 0), {bars - 1})::INTEGER"
        return (
            f"SELECT {place}, bad, count(*) FROM (SELECT {self.expression} AS x, "  # noqa: S608
            f"coalesce({self.failing}, false) AS bad FROM {self._where}) "
            "WHERE x IS NOT NULL GROUP BY ALL"
        )

    @property
    def _where(self) -> str:
        source = source_of(self.failing)
        return f"{source} WHERE {self.condition}" if self.condition else source


def range_of(
    kind: str,
    kwargs: Mapping[str, Any],
    column: Column,
    *,
    failing: str,
    condition: str | None,
) -> Range | None:
    """Return what to draw of an expectation ``kind`` about a range; None when it is about none."""
    if kind in _LENGTHS and column.family is Family.TEXT:
        given = [kwargs.get(n, kwargs.get("value")) for n in ("min_value", "max_value")]
        return Range(
            expression=f"length({column.sql})::DOUBLE",
            failing=failing,
            condition=condition,
            limits=(_number(given[0]), _number(given[1])),
            unit="length",
            whole=True,
        )
    if kind != _BETWEEN or column.family not in {*_NUMBERS, *_TIMES}:
        return None
    given = [kwargs.get("min_value"), kwargs.get("max_value")]
    timed = column.family in _TIMES
    written = _time if timed else _number
    return Range(
        expression=f"epoch({column.sql}::TIMESTAMP)" if timed else f"{column.sql}::DOUBLE",
        failing=failing,
        condition=condition,
        limits=(written(given[0]), written(given[1])),
        unit="time" if timed else "number",
        whole=column.family is Family.INTEGER,
    )


def ends_of(seen: Sequence[float | None], *, whole: bool) -> tuple[tuple[float, float], int] | None:
    """Return the ends of a picture and its number of bars; None of no number.

    ``seen`` is what ``Range.bounds`` gave. The ends hold 99 % of the values and each limit that a
    value passes, so that what fails is never squeezed against the frame by one far value.
    """
    least, greatest, q_low, q_high, low, high = seen
    if least is None or greatest is None or q_low is None or q_high is None:
        return None
    left, right = max(least, min(q_low, q_high)), min(greatest, max(q_low, q_high))
    room = max(right - left, abs(right) * 1e-9, 1.0 if whole else 1e-12)
    if low is not None and (least < low or left - low <= room * _AWAY):
        left, right = min(left, low), max(right, low)
    if high is not None and (greatest > high or high - right <= room * _AWAY):
        left, right = min(left, high), max(right, high)
    width = right - left
    margin = width * _MARGIN or 0.5
    if least < left:
        left -= margin
    if greatest > right:
        right += margin
    if whole and max(abs(left), abs(right)) < 2**50:
        first, last = math.floor(left), math.ceil(right)
        step = max(1, math.ceil((last - first + 1) / BARS))
        bars = math.ceil((last - first + 1) / step)
        return (first - 0.5, first - 0.5 + bars * step), bars
    if left == right:
        left, right = left - 0.5, right + 0.5
    if not math.isfinite((right - left) / BARS) or left + (right - left) / BARS == left:
        return None  # numbers too great, or too near each other, to be put side by side
    return (left, right), BARS


def histogram_of(
    wanted: Range,
    seen: Sequence[float | None],
    ends: tuple[float, float],
    bars: int,
    counted: Sequence[Sequence[Any]],
) -> Histogram:
    """Return the picture of what ``Range.counts`` counted."""
    met, failed = [0] * bars, [0] * bars
    for place, bad, count in counted:
        (failed if bad else met)[int(place)] += int(count)
    width = (ends[1] - ends[0]) / bars
    least, greatest = float(seen[0] or 0.0), float(seen[1] or 0.0)
    return Histogram(
        edges=tuple(ends[0] + width * i for i in range(bars + 1)),
        met=tuple(met),
        failed=tuple(failed),
        low=seen[4],
        high=seen[5],
        below=least if least < ends[0] else None,
        above=greatest if greatest > ends[1] else None,
        unit=wanted.unit,
    )


def frequent(columns: Sequence[Column], failing: str) -> str:
    """Return the statement that counts the most frequent failing values of ``columns``.

    Each row is a value, how often it comes, how many values there are, and how many rows.
    """
    cells = [f"coalesce(left({c.sql}::VARCHAR, {LONGEST * 2}), 'null')" for c in columns]
    label = " || ' · ' || ".join(cells[:_COMBINED])
    return (
        "SELECT label, n, count(*) OVER (), sum(n) OVER () FROM ("  # noqa: S608
        f"SELECT {label} AS label, count(*) AS n FROM {source_of(failing)} WHERE {failing} "
        f"GROUP BY 1) ORDER BY n DESC, label LIMIT {_NAMED}"
    )


def bars_of(rows: Sequence[Sequence[Any]]) -> Bars | None:
    """Return the picture of what ``frequent`` gave; None where no value comes more than once."""
    if not rows or int(rows[0][1]) == 1:
        return None
    counted = sum(int(row[1]) for row in rows)
    return Bars(
        bars=tuple((shown(row[0]), int(row[1])) for row in rows),
        more=int(rows[0][2]) - len(rows),
        rows=int(rows[0][3]) - counted,
    )


def source_of(failing: str) -> str:
    """Return the relation in which the predicate ``failing`` can be asked."""
    if ROW_NUMBER not in failing:
        return RELATION
    return f"(SELECT *, row_number() OVER () - 1 AS {ROW_NUMBER} FROM {RELATION}) AS {RELATION}"  # noqa: S608


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return "NULL::DOUBLE"
    return f"'{float(value)!r}'::DOUBLE"


def _time(value: Any) -> str:
    if value is None:
        return "NULL::DOUBLE"
    words = value.isoformat() if hasattr(value, "isoformat") else str(value)
    quoted = words.replace("'", "''")
    return f"epoch(TRY_CAST('{quoted}' AS TIMESTAMP))"
