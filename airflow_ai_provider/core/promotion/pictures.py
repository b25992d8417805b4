"""The pictures of a model card, as SVG: calibration, confusion or residuals, importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from airflow_ai_provider.core.promotion.metrics import (
    Array,
    NotMeasurableError,
    calibration_bins,
    usable,
)

_SIDE, _EDGE = 300, 44
_MOST_CLASSES, _MOST_BARS = 20, 20
_INK, _SHADE, _LINE = "#174ea6", "66, 133, 244", "#80868b"


def pictures_of(
    label: Array, score: Array, importance: Mapping[str, float] | None = None
) -> dict[str, str]:
    """Return the pictures that these rows allow, by name: each is a whole SVG document."""
    label, score = usable(label, score)
    found = {}
    try:
        found["calibration"] = calibration_picture(calibration_bins(label, score))
        guess = (score >= 0.5).astype(float)
    except NotMeasurableError:
        guess = score
    if is_classes(label, guess):
        found["confusion"] = confusion_picture(label, guess)
    elif "calibration" not in found:
        found["residuals"] = residuals_picture(label - score)
    if importance:
        found["importance"] = importance_picture(importance)
    return found


def is_classes(label: Array, guess: Array) -> bool:
    """Whether labels and answers are few whole numbers: classes."""
    both = np.unique(np.concatenate([label, guess]))
    return len(both) <= _MOST_CLASSES and bool((both == np.round(both)).all())


def calibration_picture(bins: Sequence[tuple[int, float, float]]) -> str:
    """Draw how often the label came true against what was said, bin by bin."""
    points = [(_x(said), _y(found)) for _, said, found in bins]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_INK}"/>' for x, y in points)
    even = f'<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="{_LINE}" stroke-dasharray="4"/>'
    path = f'<polyline points="{line}" fill="none" stroke="{_INK}" stroke-width="2"/>'
    return _framed("Calibration", "mean score", "rate observed", even + path + dots)


def confusion_picture(label: Array, guess: Array) -> str:
    """Draw how many rows of each class were read as which."""
    classes = np.unique(np.concatenate([label, guess]))
    rows, columns = np.searchsorted(classes, label), np.searchsorted(classes, guess)
    size = len(classes)
    counts = np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)
    cell, whole = _SIDE / size, counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(whole, 1)
    parts = []
    for row in range(size):
        for column in range(size):
            x, y = _EDGE + column * cell, _EDGE + row * cell
            fill = f"rgba({_SHADE}, {shares[row, column]:.3f})"
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell:.1f}" height="{cell:.1f}" '
                f'fill="{fill}" stroke="{_LINE}"/>'
            )
            parts.append(_text(x + cell / 2, y + cell / 2 + 4, str(counts[row, column])))
    for place, name in enumerate(classes):
        middle = _EDGE + (place + 0.5) * cell
        parts.append(_text(middle, _EDGE - 6, f"{name:g}"))
        parts.append(_text(_EDGE - 12, middle + 4, f"{name:g}"))
    return _framed("Confusion", "class answered", "class observed", "".join(parts), ticks=False)


def residuals_picture(residuals: Array) -> str:
    """Draw how far the answers were from what was observed."""
    counts, edges = np.histogram(residuals, bins=20)
    most, width = max(int(counts.max()), 1), _SIDE / len(counts)
    bars = "".join(
        f'<rect x="{_EDGE + place * width:.1f}" y="{_y(count / most):.1f}" '
        f'width="{width - 1:.1f}" height="{_SIDE * count / most:.1f}" fill="{_INK}"/>'
        for place, count in enumerate(counts)
    )
    ends = _text(_EDGE, _EDGE + _SIDE + 16, f"{edges[0]:.3g}")
    ends += _text(_EDGE + _SIDE, _EDGE + _SIDE + 16, f"{edges[-1]:.3g}")
    return _framed("Residuals", "observed minus answered", "rows", bars + ends, ticks=False)


def importance_picture(importance: Mapping[str, float]) -> str:
    """Draw how much the error rises when one input is shuffled, the most important first."""
    ranked = sorted(importance.items(), key=lambda item: -item[1])[:_MOST_BARS]
    most = max((value for _, value in ranked), default=0.0) or 1.0
    height = _SIDE / max(len(ranked), 1)
    parts = []
    for place, (name, value) in enumerate(ranked):
        y, long = _EDGE + place * height, max(0.0, value / most) * _SIDE
        parts.append(
            f'<rect x="{_EDGE}" y="{y:.1f}" width="{long:.1f}" height="{max(height - 2, 1):.1f}" '
            f'fill="rgba({_SHADE}, 0.6)"/>'
        )
        parts.append(_text(_EDGE + 4, y + height / 2 + 4, f"{name}: {value:.3g}", anchor="start"))
    return _framed("Permutation importance", "rise of the error", "", "".join(parts), ticks=False)


def _framed(title: str, below: str, beside: str, inner: str, *, ticks: bool = True) -> str:
    size = _SIDE + 2 * _EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" '
        f'viewBox="0 0 {size} {size}" font-family="sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{size}" height="{size}" fill="#fff"/>',
        f'<rect x="{_EDGE}" y="{_EDGE}" width="{_SIDE}" height="{_SIDE}" fill="none" '
        f'stroke="{_LINE}"/>',
        inner,
        _text(size / 2, 18, title, size=14),
        _text(size / 2, size - 10, below),
        f'<g transform="rotate(-90 12 {size / 2})">{_text(12, size / 2, beside)}</g>',
    ]
    if ticks:
        for share in (0.0, 0.5, 1.0):
            parts.append(_text(_x(share), _EDGE + _SIDE + 16, f"{share:g}"))
            parts.append(_text(_EDGE - 12, _y(share) + 4, f"{share:g}"))
    return "".join([*parts, "</svg>"])


def _text(x: float, y: float, text: str, *, anchor: str = "middle", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _x(share: float) -> float:
    return _EDGE + share * _SIDE


def _y(share: float) -> float:
    return _EDGE + (1 - share) * _SIDE
