"""The pictures of the pages: shapes with classes, which the style sheet colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from airflow_ai_provider.core.feedback.page import (
    newest_point,
    series_picture,
    titled,
)
from airflow_ai_provider.core.lifecycle.page.gantt import gantt
from airflow_ai_provider.core.quality.page.svg import WIDTH, line, number, picture, text, ticks

_MARKED = 16  # points of a picture: ten pictures of 8 versions stay below 100 KB
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 10.0, 10.0, 22.0


def over_time(
    points: Sequence[tuple[datetime, float]], *, title: str, top: float, height: float = 130.0
) -> Markup:
    """Return a line over time between zero and ``top``, with an area below it."""
    plot = _Plot([at for at, _ in points], top or 1.0, height)
    parts = [*plot.axes(), *plot.area(points), plot.path(points)]
    return Markup(picture(height, parts, title))  # noqa: S704 - every word in it was escaped


class _Plot:
    def __init__(self, times: Sequence[datetime], high: float, height: float) -> None:
        self._at = {at: index for index, at in enumerate(times)}
        self._times, self._high, self._height = times, high, height
        self.right = WIDTH - _RIGHT

    def x(self, at: datetime) -> float:
        last = max(1, len(self._times) - 1)
        return _LEFT + (self.right - _LEFT) * self._at[at] / last

    def y(self, value: float) -> float:
        share = min(1.0, max(0.0, value / self._high))
        return self._height - _BOTTOM - (self._height - _TOP - _BOTTOM) * share

    def axes(self) -> list[str]:
        parts = []
        for value in ticks(0.0, self._high, about=3):
            parts.append(line(_LEFT, self.y(value), self.right, self.y(value), "grid"))
            parts.append(text(_LEFT - 6, self.y(value) + 4, number(value), "end"))
        if self._times:
            foot = self._height - 6
            parts.append(text(_LEFT, foot, _moment(self._times[0])))
            if len(self._times) > 1:
                parts.append(text(self.right, foot, _moment(self._times[-1]), "end"))
        return parts

    def path(self, points: Sequence[tuple[datetime, float]]) -> str:
        if not points:
            return ""
        places = " ".join(f"{self.x(at):.1f},{self.y(value):.1f}" for at, value in points)
        return f'<polyline class="line" points="{places}"/>'

    def area(self, points: Sequence[tuple[datetime, float]]) -> list[str]:
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


def _moment(value: datetime) -> str:
    return value.strftime("%m-%d %H:%M UTC")


def live_pictures(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a picture of each metric over the partitions: ``{"title", "newest", "drawn"}``."""
    return [
        {
            "title": title,
            "newest": newest_point(points, metric),
            "drawn": Markup(series_picture(points, metric, title, details=_MARKED)),  # noqa: S704 - every word in it was escaped
        }
        for metric, title in titled(points).items()
    ]
