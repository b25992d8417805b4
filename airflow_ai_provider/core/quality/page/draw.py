"""Drawing a picture as SVG: nothing is loaded, every word of the data is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_ai_provider.core.quality.page.histograms import histogram, shares
from airflow_ai_provider.core.quality.page.pictures import (
    Bars,
    Gauge,
    Histogram,
    Names,
    Parts,
    Picture,
    Shares,
)
from airflow_ai_provider.core.quality.page.svg import WIDTH, line, number, picture, rect, text

_ROW = 22.0
_LABEL = 210.0
_NUMBER = 76.0
_WORDS = 30  # characters beside a bar


def draw(what: Picture, title: str) -> str:
    """Return the picture as SVG, to stand in the page."""
    if isinstance(what, Histogram):
        return histogram(what, title)
    if isinstance(what, Shares):
        return shares(what, title)
    if isinstance(what, Bars):
        return _bars(what, title)
    if isinstance(what, Parts):
        return _parts(what, title)
    return _gauge(what, title) if isinstance(what, Gauge) else _names(what, title)


def _bars(what: Bars, title: str) -> str:
    most = max((count for _, count in what.bars), default=1) or 1
    room = WIDTH - _LABEL - _NUMBER
    parts, y = [], 2.0
    for label, count in what.bars:
        parts.append(text(_LABEL - 8, y + 15, _cut(label), "end", "name"))
        parts.append(
            rect(
                _LABEL,
                y + 3,
                max(room * count / most, 2),
                _ROW - 7,
                "failed",
                f"{label}: {count:,}",
            )
        )
        parts.append(text(_LABEL + max(room * count / most, 2) + 6, y + 15, f"{count:,}"))
        y += _ROW
    note = ""
    if what.more:
        note = f"and {what.more:,} other values in {what.rows:,} rows"
    if what.sampled:
        note = f"of a sample of the failing rows{'; ' + note if note else ''}"
    if note:
        parts.append(text(_LABEL, y + 14, note))
        y += _ROW
    return picture(y + 4, parts, title)


def _parts(what: Parts, title: str) -> str:
    whole = sum(count for _, count, _ in what.parts) or 1
    parts, x = [], 0.0
    for label, count, look in what.parts:
        width = max(WIDTH * count / whole, 2.0) if count else 0.0
        x = min(x, WIDTH - width)
        parts.append(rect(x, 4, width, 26, look, f"{label}: {count:,}"))
        x += width
    return picture(54, [*parts, *_legend(what.parts, whole)], title)


def _legend(listed: Sequence[tuple[str, int, str]], whole: int) -> Iterator[str]:
    x = 0.0
    for label, count, look in listed:
        words = f"{label} {count:,} ({count / whole:.3%})"
        yield rect(x, 38, 10, 10, look)
        yield text(x + 15, 47, words)
        x += 15 + 6.6 * len(words) + 18


def _gauge(what: Gauge, title: str) -> str:
    drawn = [v for v in (what.value, what.low, what.high) if v is not None]
    low, high = min(drawn), max(drawn)
    margin = (high - low) * 0.18 or abs(high) * 0.1 or 1.0
    low, high = low - margin, high + margin

    def place(value: float) -> float:
        return 10 + (value - low) / (high - low) * (WIDTH - 20)

    left = place(what.low) if what.low is not None else 10.0
    right = place(what.high) if what.high is not None else WIDTH - 10
    parts = [rect(10, 34, WIDTH - 20, 8, "track"), rect(left, 34, right - left, 8, "allowed")]
    parts += [
        line(place(v), 28, place(v), 48, "limit") for v in (what.low, what.high) if v is not None
    ]
    for at, words in _said(what, left, right):
        parts.append(text(*_kept_in(at, words, 62), words, "middle"))
    at = place(what.value)
    parts.append(f'<circle class="failed" cx="{at:.2f}" cy="38" r="7"/>')
    words = f"observed {_with_unit(what, what.value)}"
    parts.append(text(*_kept_in(at, words, 20), words, "middle", "name"))
    return picture(72, parts, title)


def _said(what: Gauge, left: float, right: float) -> list[tuple[float, str]]:
    """Return the words under the limits; of two that stand too near each other one for both."""
    low, high = what.low, what.high
    if low is not None and high is not None and right - left < 150:
        if low == high:
            return [(left, f"exactly {_with_unit(what, low)}")]
        return [((left + right) / 2, f"{number(low)} to {_with_unit(what, high)}")]
    found = [] if low is None else [(left, f"at least {_with_unit(what, low)}")]
    return found if high is None else [*found, (right, f"at most {_with_unit(what, high)}")]


def _with_unit(what: Gauge, value: float) -> str:
    return f"{number(value)} {what.unit}".rstrip()


def _kept_in(x: float, words: str, y: float) -> tuple[float, float]:
    half = 3.5 * len(words)
    return min(max(x, half), WIDTH - half), y


def _names(what: Names, title: str) -> str:
    parts, x, y = [], 0.0, 2.0
    signs = {"met": "", "missing": "missing: ", "failed": "unexpected: "}
    for name, look in what.names:
        words = signs.get(look, "") + _cut(name)
        width = 7.0 * len(words) + 16
        if x and x + width > WIDTH:
            x, y = 0.0, y + 28
        parts.append(
            f'<rect class="chip {look}" x="{x:.1f}" y="{y:.1f}" width="{min(width, WIDTH):.1f}" '
            'height="22" rx="11"/>'
        )
        parts.append(text(x + 8, y + 15, words, look="name"))
        x += width + 8
    if what.more:
        y += 28
        parts.append(text(0, y + 14, f"and {what.more:,} others"))
    return picture(y + 28, parts, title)


def _cut(words: str) -> str:
    return words if len(words) <= _WORDS else words[: _WORDS - 1] + "…"
