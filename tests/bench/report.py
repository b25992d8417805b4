"""A benchmark's figures: what was measured beside its goal, as a table and as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

KEYS = ("name", "value", "unit", "goal", "peer", "ratio", "met")
BUILD = Path(__file__).resolve().parents[2] / "build" / "bench"
_BEGAN = time.monotonic()

Figure = Mapping[str, Any]


def say(sentence: str) -> None:
    """Print a line of progress."""
    print(f"[{time.monotonic() - _BEGAN:4.0f} s] {sentence}", flush=True)


def figure(
    name: str,
    value: float,
    unit: str,
    goal: float,
    *,
    at_least: bool = False,
    peer: str | None = None,
    ratio: float | None = None,
) -> dict[str, Any]:
    """Return one figure; ``goal`` is the most that ``value`` may be, or the least."""
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "goal": f"{'>=' if at_least else '<='} {goal:g} {unit}".rstrip(),
        "peer": peer,
        "ratio": None if ratio is None else round(ratio, 3),
        "met": value >= goal if at_least else value <= goal,
    }


def beside(
    name: str,
    value: float,
    unit: str,
    other: float,
    *,
    peer: str,
    at_least: float | None = None,
    at_most: float | None = None,
) -> dict[str, Any]:
    """Return a figure beside a peer's.

    ``at_least`` so many times the figure is the peer's, or ``at_most`` so many times the peer's it
    may be; ``ratio`` is that number.
    """
    goal = at_most if at_least is None else at_least
    assert goal is not None
    ratio = value / other if at_least is None else other / value
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "goal": f"{'<=' if at_least is None else '>='} {goal:g}x",
        "peer": f"{peer}: {other:.3f} {unit}",
        "ratio": round(ratio, 3),
        "met": ratio <= goal if at_least is None else ratio >= goal,
    }


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that ``share`` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("nothing was measured")
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(name: str, measures: Mapping[str, Callable[[], Iterable[Figure]]]) -> list[Figure]:
    """Run every measure, print the table of all figures and write them to ``build/bench``."""
    figures: list[Figure] = []
    for what, measure in measures.items():
        say(f"measuring {what}")
        for found in measure():
            figures.append({key: found.get(key) for key in KEYS})
            say(table(figures[-1:])[1])
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f"{name}.json"
    path.write_text(json.dumps(figures, indent=2) + "\n")
    print("", *table(figures), "", sep="\n", flush=True)
    met = sum(bool(found["met"]) for found in figures)
    say(f"{met} of {len(figures)} goals met; written to {path.relative_to(BUILD.parents[1])}")
    return figures


def table(figures: Iterable[Figure]) -> list[str]:
    """Return the figures as aligned lines."""
    rows = [("figure", "value", "goal", "peer", "ratio", "")]
    for found in figures:
        value = f"{found['value']:g} {found['unit']}".rstrip()
        ratio = "" if found["ratio"] is None else f"{found['ratio']:g}"
        verdict = "met" if found["met"] else "missed"
        rows.append((found["name"], value, str(found["goal"]), found["peer"] or "", ratio, verdict))
    widths = [max(len(str(row[column])) for row in rows) for column in range(6)]
    return [
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
