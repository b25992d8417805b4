"""A small picture of one drifted column: plain SVG, with nothing to load."""

from __future__ import annotations

from html import escape

from airflow_ai_provider.core.quality.drift.compare import ColumnDrift
from airflow_ai_provider.core.quality.drift.histogram import Histogram

_WIDTH, _HEIGHT = 420.0, 200.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 36.0, 10.0, 34.0, 50.0
_REFERENCE, _NOW, _INK = "#9aa5b1", "#d9480f", "#52606d"
_LONGEST = 11  # of a category's name under its bars


def drift_picture(drift: ColumnDrift) -> str | None:
    """Return the histogram of ``drift``, the reference beside now; None when it has none.

    It names the most frequent categories, so it is as confidential as the data.
    """
    shown = drift.histogram
    if shown is None:
        return None
    highest = max(*shown.reference, *shown.now, 1e-9)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" '
        f'width="{_WIDTH:g}" height="{_HEIGHT:g}" role="img" font-family="sans-serif" '
        f'font-size="10" fill="{_INK}">',
        f"<title>{escape(_title(drift))}</title>",
        f'<text x="{_LEFT:g}" y="14" font-size="12" font-weight="bold">'
        f"{escape(_cut(drift.column, 40))}</text>",
        *_legend(),
        *_bars(shown, highest),
        *_labels(shown),
        *_left_out(shown),
        _text(_LEFT - 4, _TOP + 8, f"{highest:.0%}", "end"),
        _text(_LEFT - 4, _HEIGHT - _BOTTOM, "0", "end"),
        "</svg>",
    ]
    return "".join(parts)


def _title(drift: ColumnDrift) -> str:
    return f"{drift.column}: {' '.join(drift.sentences())}"


def _legend() -> list[str]:
    found = []
    for x, colour, name in ((_LEFT, _REFERENCE, "reference"), (_LEFT + 80, _NOW, "now")):
        found.append(f'<rect x="{x:g}" y="20" width="8" height="8" fill="{colour}"/>')
        found.append(_text(x + 12, 28, name, "start"))
    return found


def _left_out(shown: Histogram) -> list[str]:
    if not shown.left_out:
        return []
    words = f"changed most; {shown.left_out} others not shown"
    return [_text(_WIDTH - _RIGHT, 28, words, "end")]


def _bars(shown: Histogram, highest: float) -> list[str]:
    slot = (_WIDTH - _LEFT - _RIGHT) / len(shown.now)
    room, floor = _HEIGHT - _TOP - _BOTTOM, _HEIGHT - _BOTTOM
    found = []
    for place, pair in enumerate(zip(shown.reference, shown.now, strict=True)):
        for side, (share, colour) in enumerate(zip(pair, (_REFERENCE, _NOW), strict=True)):
            height = room * share / highest
            x = _LEFT + slot * (place + 0.08 + 0.42 * side)
            found.append(
                f'<rect x="{x:.2f}" y="{floor - height:.2f}" width="{slot * 0.42:.2f}" '
                f'height="{height:.2f}" fill="{colour}"><title>{share:.2%}</title></rect>'
            )
    found.append(
        f'<line x1="{_LEFT:g}" y1="{floor:g}" x2="{_WIDTH - _RIGHT:g}" y2="{floor:g}" '
        f'stroke="{_INK}"/>'
    )
    return found


def _labels(shown: Histogram) -> list[str]:
    slot = (_WIDTH - _LEFT - _RIGHT) / len(shown.now)
    y = _HEIGHT - _BOTTOM + 12
    if not shown.of_categories:
        last = len(shown.labels) - 1
        places = ((0, "start"), (last // 2, "middle"), (last, "end"))
        return [_text(_LEFT + slot * i, y, shown.labels[i], anchor) for i, anchor in places]
    found = []
    for place, name in enumerate(shown.labels):
        x = _LEFT + slot * (place + 0.5)
        found.append(
            f'<text x="{x:.2f}" y="{y:g}" text-anchor="end" '
            f'transform="rotate(-30 {x:.2f} {y:g})">{escape(_cut(name, _LONGEST))}</text>'
        )
    return found


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}">{escape(words)}</text>'


def _cut(words: str, longest: int) -> str:
    shown = "".join(c if c.isprintable() else "�" for c in words)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
