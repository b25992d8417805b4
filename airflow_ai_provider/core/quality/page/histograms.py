"""Pictures of distributions: one with its limits, or two side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from airflow_ai_provider.core.quality.page.pictures import Histogram, Shares
from airflow_ai_provider.core.quality.page.svg import (
    WIDTH,
    line,
    moment,
    number,
    picture,
    rect,
    text,
    ticks,
)

_LEFT, _RIGHT, _TOP, _FLOOR, _HEIGHT = 52.0, 14.0, 26.0, 158.0, 182.0
_LEAST = 2.0  # of a bar that is not empty: one row of a million is seen
_NAMES = 12

Place = Callable[[float], float]


def histogram(what: Histogram, title: str) -> str:
    """Return the bars of ``what``, the failing part coloured, and the limits as lines."""
    first, last = what.edges[0], what.edges[-1]

    def place(value: float) -> float:
        return _LEFT + (value - first) / (last - first) * (WIDTH - _LEFT - _RIGHT)

    most = max((m + f for m, f in zip(what.met, what.failed, strict=True)), default=1) or 1
    parts = [
        *_frame(f"{most:,}", f"{most // 2:,}" if most % 2 == 0 else ""),
        *_stacks(what, place, most),
        line(_LEFT, _FLOOR, WIDTH - _RIGHT, _FLOOR, "axis"),
        *_scale(what, place),
        *_limits(what, place),
        *_beyond(what),
    ]
    return picture(_HEIGHT + (18 if _far(what) else 0), parts, title)


def shares(what: Shares, title: str) -> str:
    """Return two distributions, the reference beside now."""
    most = max(*what.reference, *what.now, 1e-9)
    of_names = len(what.labels) == len(what.now)
    slot = (WIDTH - _LEFT - _RIGHT) / max(len(what.now), 1)
    parts = [*_frame(f"{most:.0%}", f"{most / 2:.1%}")]
    for at, (old, new) in enumerate(zip(what.reference, what.now, strict=True)):
        for side, (share, look) in enumerate(((old, "reference"), (new, "now"))):
            height = (_FLOOR - _TOP) * share / most
            x = _LEFT + slot * (at + 0.1 + 0.4 * side)
            words = f"{look} {share:.2%}"
            parts.append(rect(x, _FLOOR - height, slot * 0.4, height, look, words))
    parts.append(line(_LEFT, _FLOOR, WIDTH - _RIGHT, _FLOOR, "axis"))
    parts += _names(what, slot) if of_names else _edges(what, slot)
    for x, look in ((_LEFT, "reference"), (_LEFT + 92, "now")):
        parts += [rect(x, 4, 10, 10, look), text(x + 15, 13, look)]
    if what.left_out:
        words = f"changed most; {what.left_out:,} others not shown"
        parts.append(text(WIDTH - _RIGHT, 13, words, "end"))
    return picture(_HEIGHT + (34 if of_names else 0), parts, title)


def _frame(top: str, half: str) -> Iterator[str]:
    middle = (_TOP + _FLOOR) / 2
    for y, words in ((_TOP, top), (middle, half)):
        yield line(_LEFT, y, WIDTH - _RIGHT, y, "grid")
        yield text(_LEFT - 6, y + 4, words, "end")
    yield text(_LEFT - 6, _FLOOR + 4, "0", "end")


def _stacks(what: Histogram, place: Place, most: int) -> Iterator[str]:
    room = _FLOOR - _TOP
    for at, (met, failed) in enumerate(zip(what.met, what.failed, strict=True)):
        x, right = place(what.edges[at]), place(what.edges[at + 1])
        width = max(right - x - 1, 0.8)
        words = f"{_said(what, what.edges[at])} to {_said(what, what.edges[at + 1])}"
        below = max(room * met / most, _LEAST) if met else 0.0
        if met:
            yield rect(x, _FLOOR - below, width, below, "met", f"{words}: {met:,} as expected")
        if failed:
            height = max(room * failed / most, _LEAST)
            y = max(_FLOOR - below - height, _TOP - _LEAST)
            yield rect(x, y, width, height, "failed", f"{words}: {failed:,} unexpected")


def _scale(what: Histogram, place: Place) -> Iterator[str]:
    low, high = what.edges[0], what.edges[-1]
    for value in ticks(low, high):
        yield line(place(value), _FLOOR, place(value), _FLOOR + 4, "axis")
        yield text(place(value), _FLOOR + 17, _said(what, value), "middle")


def _limits(what: Histogram, place: Place) -> Iterator[str]:
    limits = [(what.low, "at least", "end"), (what.high, "at most", "start")]
    if what.low == what.high:
        limits = [(what.high, "exactly", "start")]
    for value, word, anchor in limits:
        if value is None or not what.edges[0] <= value <= what.edges[-1]:
            continue
        x = place(value)
        words = f"{word} {_said(what, value)}"
        room = x - 6 if anchor == "end" else WIDTH - x - 6
        fits = room > 6.2 * len(words)
        side = anchor if fits else ("start" if anchor == "end" else "end")
        yield line(x, _TOP - 8, x, _FLOOR, "limit")
        yield text(x + (5 if side == "start" else -5), _TOP - 10, words, side, "name")


def _beyond(what: Histogram) -> Iterator[str]:
    if words := _far(what):
        yield text(_LEFT, _HEIGHT + 10, words)


def _far(what: Histogram) -> str:
    """Say what the picture does not reach."""
    found = []
    if what.below is not None:
        found.append(f"the first bar reaches down to {_said(what, what.below)}")
    if what.above is not None:
        found.append(f"the last bar reaches up to {_said(what, what.above)}")
    for value, word in ((what.low, "at least"), (what.high, "at most")):
        if value is not None and not what.edges[0] <= value <= what.edges[-1]:
            found.append(f"the limit of {word} {_said(what, value)} lies outside")
    return "; ".join(found)


def _said(what: Histogram, value: float) -> str:
    if what.unit == "time":
        return moment(value, what.edges[-1] - what.edges[0])
    return number(value)


def _edges(what: Shares, slot: float) -> Iterator[str]:
    last = len(what.labels) - 1
    for at, anchor in ((0, "start"), (last // 2, "middle"), (last, "end")):
        yield text(_LEFT + slot * at, _FLOOR + 17, what.labels[at], anchor)


def _names(what: Shares, slot: float) -> Iterator[str]:
    for at, name in enumerate(what.labels):
        x, y = _LEFT + slot * (at + 0.5), _FLOOR + 14
        cut = name if len(name) <= _NAMES else name[: _NAMES - 1] + "…"
        turned = text(x, y, cut, "end").replace(
            "<text ", f'<text transform="rotate(-28 {x:.1f} {y:.1f})" ', 1
        )
        yield turned
