"""The plan as a Gantt chart: what was planned, what happened, what is expected, and today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from airflow_ai_provider.core.quality.page.pictures import shown
from airflow_ai_provider.core.quality.page.svg import WIDTH, line, picture, rect, text

_LEFT, _RIGHT, _TOP, _ROW = 168.0, 14.0, 22.0, 30.0
_NAME = 22  # characters
_DAY = timedelta(days=1)
_KEY = (
    ("planned", "planned"),
    ("done", "done"),
    ("running", "expected"),
    ("critical", "expected, critical"),
    ("doubt", "until 90 %"),
)
STYLE = """
figure.gantt{overflow-x:auto}figure.gantt svg{max-width:none;min-width:560px}
svg rect.planned{fill:var(--missing)}
svg rect.done{fill:var(--good)}svg rect.running{fill:var(--now)}
svg rect.critical{fill:var(--bad)}svg rect.doubt{fill:var(--met);opacity:.55}
svg .today{stroke:var(--ink);stroke-width:1.2;stroke-dasharray:3 3}
svg text.critical{fill:var(--ink);font-weight:600}
"""


def gantt(timeline: Mapping[str, Any]) -> str:
    """Return the chart of a ``core.lifecycle.timeline``; no milestones make no chart."""
    rows = timeline["milestones"]
    if not rows:
        return ""
    today = date.fromisoformat(timeline["today"])
    days = [today, *(day for row in rows for day in _days(row))]
    first, last = min(days), max(days) + _DAY
    scale = _Scale(first, last)
    bottom = _TOP + _ROW * len(rows)
    parts = list(_ticks(scale, bottom))
    for number, row in enumerate(rows):
        parts += _row(row, scale, _TOP + _ROW * number)
    x = scale.at(today)
    parts.append(line(x, _TOP - 6, x, bottom, "today"))
    parts.append(text(x, _TOP - 9, "today", "middle", "name"))
    parts += _key(bottom + 26)
    drawn = picture(bottom + 42, parts, _words(timeline))
    return f'<figure class="gantt" tabindex="0">{drawn}</figure>'


class _Scale:
    """Days across the picture."""

    def __init__(self, first: date, last: date) -> None:
        self.first, self.last = first, last
        self._per_day = (WIDTH - _LEFT - _RIGHT) / max((last - first).days, 1)

    def at(self, day: date) -> float:
        """Return where the morning of ``day`` is."""
        return _LEFT + (day - self.first).days * self._per_day

    def bar(self, start: date, end: date, y: float, high: float, look: str, title: str) -> str:
        """Return a bar from the morning of ``start`` to the evening of ``end``."""
        x = self.at(start)
        return rect(x, y, max(self.at(end + _DAY) - x, 3.0), high, look, title)


def _days(row: Mapping[str, Any]) -> Iterator[date]:
    spans = [row["planned"], row["forecast"], row["actual"] or {}]
    for span in spans:
        for key in ("start", "finish", "p90"):
            if span.get(key):
                yield date.fromisoformat(span[key])


def _row(row: Mapping[str, Any], scale: _Scale, y: float) -> Iterator[str]:
    critical, name = row["critical"], shown(row["name"], _NAME)
    label = f"\N{BLACK DIAMOND} {name}" if critical else name
    yield text(_LEFT - 8, y + 17, label, "end", "critical" if critical else "name")
    planned, expected, actual = row["planned"], row["forecast"], row["actual"] or {}
    plan = (date.fromisoformat(planned["start"]), date.fromisoformat(planned["p50"]))
    yield scale.bar(*plan, y + 19, 6, "planned", f"{row['name']}: planned {_span(*plan)}")
    if row["state"] == "done":
        end = date.fromisoformat(actual["finish"])
        begin = date.fromisoformat(actual["start"]) if actual.get("start") else end
        yield scale.bar(begin, end, y + 5, 12, "done", f"{row['name']}: {_span(begin, end)}")
        return
    begin = date.fromisoformat(actual.get("start") or expected["start"])
    end, doubt = (date.fromisoformat(expected[key]) for key in ("p50", "p90"))
    if doubt > end:
        yield scale.bar(end + _DAY, doubt, y + 8, 6, "doubt", f"{row['name']}: 90 % by {doubt}")
    look = "critical" if critical else "running"
    yield scale.bar(begin, end, y + 5, 12, look, f"{row['name']}: expected {_span(begin, end)}")


def _ticks(scale: _Scale, bottom: float) -> Iterator[str]:
    length = (scale.last - scale.first).days
    step = next(s for s in (1, 7, 14, 28, 91, 182, 364, 364 * 40) if length / s <= 9)
    day = scale.first if step == 1 else scale.first - _DAY * scale.first.weekday()
    while day <= scale.last:
        if day >= scale.first:
            x = scale.at(day)
            yield line(x, _TOP, x, bottom, "grid")
            words = f"{day:%b %Y}" if step > 28 else f"{day.day} {day:%b}"
            yield text(x, bottom + 12, words, "middle")
        day += _DAY * step


def _key(y: float) -> Iterator[str]:
    x = 0.0
    for look, words in _KEY:
        yield rect(x, y, 10, 10, look)
        yield text(x + 14, y + 9, words)
        x += 14 + 6.2 * len(words) + 16


def _span(start: date, end: date) -> str:
    return f"{start} to {end}"


def _words(timeline: Mapping[str, Any]) -> str:
    """Return the chart in one sentence, for who does not see it."""
    path: Sequence[str] = timeline["path"]
    return (
        f"Plan of {len(timeline['milestones'])} milestones, {timeline['done']} done; expected to "
        f"end by {timeline['p50']}, with 90 percent by {timeline['p90']}; critical path: "
        f"{', '.join(path)}"
    )
