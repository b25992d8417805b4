"""The pictures of a model card, as SVG: calibration, confusion or residuals, importance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from airflow_ai_provider.core.promotion.metrics import (
    Array,
    NotMeasurableError,
    calibration_bins,
    usable,
)
from airflow_ai_provider.core.promotion.shapes import Frame, cut, dot, path, picture, rect, text

_SIDE, _EDGE, _TOP = 300, 56, 44
_WIDTH, _HEIGHT = _SIDE + _EDGE + 24, _SIDE + _TOP + 48
_MOST_CLASSES, _MOST_BARS = 20, 20
_LEGIBLE = 24  # the least side of a cell that a count fits in
_NAMES, _VALUES = 150, 64  # the room beside the bars of an importance picture


def pictures_of(
    label: Array, score: Array, importance: Mapping[str, float] | None = None
) -> dict[str, str]:
    """Return the pictures that these rows allow, by name: each is a whole SVG document."""
    label, score = usable(label, score)
    found, about = {}, ""
    try:
        found["calibration"] = calibration_picture(calibration_bins(label, score))
        guess, about = (score >= 0.5).astype(float), " (from 0.5 on)"
    except NotMeasurableError:
        guess = score
    if is_classes(label, guess):
        found["confusion"] = confusion_picture(label, guess, about)
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
    """Draw how often the label came true against what was said, with 95 % intervals, by bin."""
    frame = _frame()
    parts = [path([(frame.x(0), frame.y(0)), (frame.x(1), frame.y(1))], "even")]
    points = [(frame.x(said), frame.y(found)) for _, said, found in bins]
    for (rows, said, found), (x, _) in zip(bins, points, strict=True):
        low, high = _wilson(found, rows)
        parts.append(path([(x, frame.y(low)), (x, frame.y(high))], "line"))
        parts.append(
            dot(x, frame.y(found), title=f"{rows:,} rows: {said:.3f} said, {found:.3f} observed")
        )
    parts.insert(1, path(points, "even"))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(text(frame.x(share), frame.y(0) + 16, f"{share:g}"))
        parts.append(text(frame.left - 6, frame.y(share) + 4, f"{share:g}", anchor="end"))
    return _framed("Calibration", "mean score of the bin", "rate observed", parts)


def confusion_picture(label: Array, guess: Array, about: str = "") -> str:
    """Draw how many rows of each class were read as which."""
    classes = np.unique(np.concatenate([label, guess]))
    rows, columns = np.searchsorted(classes, label), np.searchsorted(classes, guess)
    size, frame = len(classes), _frame()
    counts = np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)
    cell, whole = _SIDE / size, counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(whole, 1)
    parts = []
    for row in range(size):
        for column in range(size):
            x, y = frame.left + column * cell, frame.top + row * cell
            count, share = int(counts[row, column]), float(shares[row, column])
            told = f"{classes[row]:g} answered as {classes[column]:g}: {count:,} ({share:.1%})"
            parts.append(rect(x, y, cell, cell, "now", title=told, share=min(share, 0.999)))
            if cell >= _LEGIBLE and len(f"{count:,}") * 6.5 < cell:
                look = "on" if share > 0.75 else "name"
                parts.append(text(x + cell / 2, y + cell / 2 + 4, f"{count:,}", look=look))
    for place, name in enumerate(classes):
        middle = (place + 0.5) * cell
        parts.append(text(frame.left + middle, frame.y(0) + 16, f"{name:g}"))
        parts.append(text(frame.left - 6, frame.top + middle + 4, f"{name:g}", anchor="end"))
    return _framed("Confusion", f"class answered{about}", "class observed", parts)


def residuals_picture(residuals: Array) -> str:
    """Draw how far the answers were from what was observed."""
    counts, edges = np.histogram(residuals, bins=20)
    frame, most = _frame(), max(int(counts.max()), 1)
    width = _SIDE / len(counts)
    parts = [
        rect(
            frame.left + place * width,
            frame.y(count / most),
            width - 1,
            _SIDE * count / most,
            "now",
            title=f"{edges[place]:.4g} to {edges[place + 1]:.4g}: {int(count):,} rows",
        )
        for place, count in enumerate(counts)
    ]
    low, high = float(edges[0]), float(edges[-1])
    if low < 0 < high:
        zero = frame.x(-low / (high - low))
        parts.append(path([(zero, frame.y(0)), (zero, frame.y(1))], "before"))
    parts.append(text(frame.left, frame.y(0) + 16, f"{low:.3g}", anchor="start"))
    parts.append(text(frame.x(1), frame.y(0) + 16, f"{high:.3g}", anchor="end"))
    parts.append(text(frame.left - 6, frame.top + 8, f"{most:,}", anchor="end"))
    return _framed("Residuals", "observed minus answered", "rows", parts)


def importance_picture(importance: Mapping[str, float]) -> str:
    """Draw how much the error rises when one input is shuffled, the most important first."""
    ranked = sorted(importance.items(), key=lambda item: -item[1])[:_MOST_BARS]
    most = max((value for _, value in ranked), default=0.0)
    room, parts = 250, []
    for place, (name, value) in enumerate(ranked):
        y = _TOP + place * 20
        long = room * value / most if most > 0 and value > 0 else 0.0
        parts.append(text(_NAMES, y + 13, cut(name, 24), anchor="end", look="name"))
        parts.append(rect(_NAMES + 8, y + 3, long, 13, "now", title=f"{name}: {value:.6g}"))
        parts.append(text(_NAMES + 14 + long, y + 13, f"{value:.3g}", anchor="start"))
    left_out = len(importance) - len(ranked)
    note = "rise of the error when shuffled" + (f"; {left_out} more, smaller" if left_out else "")
    height = _TOP + len(ranked) * 20 + 28
    parts.append(text(_NAMES + 8, height - 12, note, anchor="start"))
    return picture(_NAMES + room + _VALUES, height, "Permutation importance", parts)


def _frame() -> Frame:
    return Frame(left=_EDGE, top=_TOP, width=_SIDE, height=_SIDE)


def _framed(title: str, below: str, beside: str, parts: Sequence[str]) -> str:
    frame = _frame()
    words = [
        text(frame.x(0.5), _HEIGHT - 12, below),
        text(16, frame.y(0.5), beside, turned=True),
    ]
    return picture(_WIDTH, _HEIGHT, title, [*parts, frame.drawn(), *words])


def _wilson(rate: float, rows: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Wilson, 1927), which stays between 0 and 1."""
    z = 1.959964
    middle = (rate + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(rate * (1 - rate) / rows + z * z / (4 * rows**2))
    return max(0.0, middle - half), min(1.0, middle + half)
