"""The pictures of the pages: shapes with classes, which the style sheet colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from airflow_ai_provider.core.lifecycle.page.gantt import gantt
from airflow_ai_provider.core.quality.page.svg import WIDTH, line, number, picture, text, ticks

_NARROW = 340.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 10.0, 10.0, 22.0


def over_time(
    points: Sequence[tuple[datetime | str, float]],
    *,
    title: str,
    top: float | None = None,
    low: float = 0.0,
    height: float = 130.0,
    width: float = WIDTH,
    limit: float | None = None,
    other: Sequence[tuple[datetime | str, float]] = (),
) -> Markup:
    """Return a line over time or over partitions, with an area below it.

    ``other`` is drawn dashed on the same axes, ``limit`` as a line of its own.
    """
    names = list(dict.fromkeys([*(p[0] for p in points), *(p[0] for p in other)]))
    names.sort(key=str)
    values = [value for _, value in (*points, *other)] + ([limit] if limit is not None else [])
    high = top if top is not None else max([*values, low + 1e-9])
    high = high if high > low else low + 1.0
    plot = _Plot(names, low, high, height, width)
    parts = [*plot.axes(), *plot.area(points), plot.path(other, "other"), plot.path(points, "line")]
    if limit is not None:
        parts.append(line(_LEFT, plot.y(limit), plot.right, plot.y(limit), "limit"))
    if len(points) <= 40:
        parts += [
            f'<circle class="dot" cx="{plot.x(at):.1f}" cy="{plot.y(value):.1f}" r="2.5"/>'
            for at, value in points
        ]
    return Markup(picture(height, parts, title, width=width))  # noqa: S704 - every word in it was escaped


class _Plot:
    def __init__(
        self, names: Sequence[Any], low: float, high: float, height: float, width: float
    ) -> None:
        self._at = {name: index for index, name in enumerate(names)}
        self._names, self._low, self._high = names, low, high
        self._height, self.right = height, width - _RIGHT

    def x(self, name: Any) -> float:
        last = max(1, len(self._names) - 1)
        return _LEFT + (self.right - _LEFT) * self._at[name] / last

    def y(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return self._height - _BOTTOM - (self._height - _TOP - _BOTTOM) * min(1.0, max(0.0, share))

    def axes(self) -> list[str]:
        parts = []
        for value in ticks(self._low, self._high, about=3):
            parts.append(line(_LEFT, self.y(value), self.right, self.y(value), "grid"))
            parts.append(text(_LEFT - 6, self.y(value) + 4, number(value), "end"))
        if self._names:
            foot = self._height - 6
            parts.append(text(_LEFT, foot, _name(self._names[0])))
            if len(self._names) > 1:
                parts.append(text(self.right, foot, _name(self._names[-1]), "end"))
        return parts

    def path(self, points: Sequence[tuple[Any, float]], look: str) -> str:
        if not points:
            return ""
        places = " ".join(f"{self.x(at):.1f},{self.y(value):.1f}" for at, value in points)
        return f'<polyline class="{look}" points="{places}"/>'

    def area(self, points: Sequence[tuple[Any, float]]) -> list[str]:
        if len(points) < 2:
            return []
        base = self._height - _BOTTOM
        places = " ".join(f"{self.x(at):.1f},{self.y(value):.1f}" for at, value in points)
        first, last = self.x(points[0][0]), self.x(points[-1][0])
        return [f'<polygon class="area" points="{first:.1f},{base} {places} {last:.1f},{base}"/>']


def gantt_of(timeline: Mapping[str, Any]) -> Markup:
    """Return the chart of a plan against what happened."""
    return Markup(gantt(timeline))  # noqa: S704 - every word in it was escaped


def use_of(view: Mapping[str, Any]) -> Markup:
    """Return the picture of devices held over the last day."""
    points = [(point["at"], point["held"]) for point in view["use"]]
    return over_time(
        points,
        title=f"Devices held over the last day, of {view['totals']['devices']}",
        top=float(view["totals"]["devices"]),
    )


def _name(value: Any) -> str:
    return value.strftime("%m-%d %H:%M UTC") if isinstance(value, datetime) else str(value)


def series_of(
    series: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]],
) -> list[dict[str, Any]]:
    """Return a picture of each metric: the newest version, and the one before it dashed."""
    found = []
    for metric, versions in series.items():
        order = sorted(versions, key=lambda v: (str(versions[v][-1]["partition"]), _rank(v)))
        newest, before = order[-1], order[-2] if len(order) > 1 else None
        points = _points(versions[newest])
        others = _points(versions[before]) if before else []
        values = [value for _, value in (*points, *others)]
        found.append(
            {
                "metric": metric,
                "version": newest,
                "before": before,
                "newest": versions[newest][-1],
                "drawn": over_time(
                    points,
                    other=others,
                    low=min([0.0, *values]),
                    title=f"{metric} over time",
                    width=_NARROW,
                ),
            }
        )
    return found


def _points(points: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
    return [(str(point["partition"]), float(point["value"])) for point in points]


def _rank(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdecimal() else (-1, version)
