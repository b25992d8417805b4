"""Pictures of a network's weights and gradients: one small histogram for each array.

The blue bars are of the last step that was logged, the line of the first: what training moved, what
never moved, what vanished, exploded or is no number any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_ai_provider.core.promotion.histograms import ArrayHistogram, StepHistograms
from airflow_ai_provider.core.promotion.shapes import Frame, cut, path, picture, rect, text

_MOST, _COLUMNS = 18, 3
_CELL_WIDTH, _CELL_HEIGHT, _TOP = 200, 126, 40
_NAMES = {"weight": "weights", "gradient": "gradients"}


def histogram_pictures(first: StepHistograms, last: StepHistograms) -> dict[str, str]:
    """Return the pictures ``weights`` and ``gradients``, of those that were logged."""
    found = {}
    for of, name in _NAMES.items():
        arrays = [array for array in last.arrays if array.of == of]
        if arrays:
            before = {array.name: array for array in first.arrays if array.of == of}
            found[name] = _small_multiples(name.capitalize(), arrays, before, first, last)
    return found


def _small_multiples(
    title: str,
    arrays: Sequence[ArrayHistogram],
    before: dict[str, ArrayHistogram],
    first: StepHistograms,
    last: StepHistograms,
) -> str:
    chosen = sorted(arrays, key=lambda array: -array.size)[:_MOST]
    shown = [array for array in arrays if array in chosen]
    parts = []
    for place, array in enumerate(shown):
        row, column = divmod(place, _COLUMNS)
        frame = Frame(
            left=14 + column * _CELL_WIDTH,
            top=_TOP + row * _CELL_HEIGHT + 20,
            width=_CELL_WIDTH - 20,
            height=_CELL_HEIGHT - 66,
        )
        parts += _one(array, before.get(array.name) if first.step != last.step else None, frame)
    rows = -(-len(shown) // _COLUMNS)
    height = _TOP + rows * _CELL_HEIGHT + 20
    note = f"bars: step {last.step:,}"
    if first.step != last.step:
        note += f"; line: step {first.step:,}"
    if len(arrays) > len(shown):
        note += f"; {len(arrays) - len(shown)} smaller arrays are not shown"
    parts.append(text(14, height - 8, note, anchor="start"))
    return picture(14 + _COLUMNS * _CELL_WIDTH, height, title, parts)


def _one(array: ArrayHistogram, before: ArrayHistogram | None, frame: Frame) -> list[str]:
    name = cut(array.name, 12 if array.not_finite else 30)
    parts = [text(frame.left, frame.top - 6, name, anchor="start", look="name"), frame.drawn()]
    if array.not_finite:
        said = f"{array.not_finite:,} are no number"
        parts.append(text(frame.x(1), frame.top - 6, said, anchor="end", look="bad"))
    drawn = [found for found in (_shape(array), _shape(before)) if found is not None]
    if not array.counts or not drawn:
        return parts
    scale = max(max(abs(shape.low), abs(shape.high)) for shape in drawn) or 1.0
    least, greatest = min(shape.low for shape in drawn), max(shape.high for shape in drawn)
    low = least / scale
    span = greatest / scale - low
    curves = [_curve(shape, low, span, scale) for shape in drawn]
    most = max(height for curve in curves for _, _, height in curve) or 1.0
    for (left, right, height), count in zip(curves[0], array.counts, strict=True):
        x, tall = frame.x(left), frame.height * height / most
        wide = max(frame.x(right) - x, 1.5)
        parts.append(rect(x, frame.y(0) - tall, wide, tall, "now", title=f"{count:,}"))
    for curve in curves[1:]:
        ends = [
            (frame.x(x), frame.y(height / most))
            for left, right, height in curve
            for x in (left, right)
        ]
        parts.append(path(ends, "before"))
    parts.append(text(frame.left, frame.y(0) + 12, f"{least:.3g}", anchor="start"))
    parts.append(text(frame.x(1), frame.y(0) + 12, f"{greatest:.3g}", anchor="end"))
    middle = f"{array.mean:.2g} ± {array.deviation:.2g}"
    parts.append(text(frame.x(0.5), frame.y(0) + 25, middle))
    return parts


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """The part of a histogram that can be drawn: some value was finite."""

    low: float
    high: float
    counts: tuple[int, ...]


def _shape(array: ArrayHistogram | None) -> _Shape | None:
    if array is None or array.low is None or array.high is None:
        return None
    return _Shape(low=array.low, high=array.high, counts=array.counts)


def _curve(
    shape: _Shape, low: float, span: float, scale: float
) -> list[tuple[float, float, float]]:
    """Return each bin's left and right end as shares of the frame, and its density.

    A density, so that bins of one width can be compared with those of another. All is in units of
    ``scale``: the width of a range may be no float.
    """
    begin = (shape.low / scale - low) / span if span > 0 else 0.5
    end = (shape.high / scale - low) / span if span > 0 else 0.5
    number, whole = len(shape.counts), sum(shape.counts)
    step = (end - begin) / number
    thin = max(step, 1e-3)
    return [
        (begin + place * step, begin + (place + 1) * step, count / whole / thin)
        for place, count in enumerate(shape.counts)
    ]
