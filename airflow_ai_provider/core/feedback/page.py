"""The page about a model in use: one picture per figure, a line per version; nothing is fetched."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any

from airflow_ai_provider.core.quality.page.render import document
from airflow_ai_provider.core.quality.page.svg import (
    WIDTH,
    line,
    number,
    picture,
    rect,
    text,
    ticks,
)

TITLES = {
    "coverage": "Share of predictions with an outcome",
    "observed": "Rate observed",
    "predicted": "Mean score predicted",
    "gap": "Calibration gap: observed minus predicted",
    "roc_auc": "ROC AUC",
    "log_loss": "Log loss (lower is better)",
    "brier": "Brier score (lower is better)",
    "mos": "Mean opinion score, 1 to 5",
    "agreement": "Agreement between people (Krippendorff's alpha)",
    "exception_rate": "Share of predictions that people had to look at",
}
_LEFT, _RIGHT, _TOP, _FLOOR, _HEIGHT = 62.0, 14.0, 26.0, 168.0, 194.0
_MOST_VERSIONS, _MOST_PARTITIONS = 8, 36
# by hue and by lightness: told apart in print and by who sees few colours
_COLOURS = (
    "#2f6fdb", "#d9432f", "#1d8a4a", "#c07a06", "#7a3fb8", "#0b8f9e", "#8a5a2b", "#64748b"
)  # fmt: skip

Point = Mapping[str, Any]


def live_page(model_name: str, points: Sequence[Point], queue: Mapping[str, Any] | None) -> str:
    """Return the page of the series ``points`` (of whole models, without slices)."""
    body = [f'<p class="kicker">Models in use</p><h1>{escape(model_name)}</h1>']
    body.append(_queue(queue))
    shown = titled(points)
    if not shown:
        body.append('<p class="faint">Nothing was measured on feedback yet.</p>')
    else:
        body.append(_legend(points))
    for metric, title in shown.items():
        drawn = series_picture(points, metric, title)
        body.append(f'<div class="card"><h3>{escape(title)}</h3><figure>{drawn}</figure></div>')
    return document(f"{model_name}: live quality", body)


def titled(points: Sequence[Point]) -> dict[str, str]:
    """Return the metrics that ``points`` have values of, with a title each, in a page's order."""
    metrics = {point["metric"] for point in points if _measured([point], point["metric"])}
    others = sorted(metrics - TITLES.keys())
    return {
        **{metric: title for metric, title in TITLES.items() if metric in metrics},
        **{metric: metric for metric in others},
    }


def newest_point(points: Sequence[Point], metric: str) -> Point:
    """Return the newest value of the newest version that has one."""
    mine = _measured(points, metric)
    newest = _versions(mine)[-1]
    own = (point for point in mine if point["model_version"] == newest)
    return max(own, key=lambda point: str(point["partition"]))


def series_picture(
    points: Sequence[Point], metric: str, title: str, *, details: int | None = None
) -> str:
    """Return one figure over the partitions as SVG: a line per version, an interval where known.

    ``details`` bounds the points that have a mark with its interval and figures, the newest first:
    a page of many pictures would be too large.
    """
    mine = _measured(points, metric)
    parts_of_data = sorted({point["partition"] for point in mine})[-_MOST_PARTITIONS:]
    mine = [point for point in mine if point["partition"] in set(parts_of_data)]
    versions = _versions(points)
    drawn = [
        value
        for point in mine
        for value in (point["value"], point["low"], point["high"])
        if value is not None
    ]
    low, high = min(drawn), max(drawn)
    margin = (high - low) * 0.08 or abs(high) * 0.05 or 0.5
    low, high = low - margin, high + margin
    newest = sorted(mine, key=lambda point: str(point["partition"]), reverse=True)[:details]
    marked = {(point["model_version"], point["partition"]) for point in newest}
    slot = (WIDTH - _LEFT - _RIGHT) / len(parts_of_data)

    def across(partition: str) -> float:
        return _LEFT + slot * (parts_of_data.index(partition) + 0.5)

    def up(value: float) -> float:
        return _FLOOR - float((value - low) / (high - low)) * (_FLOOR - _TOP)

    shapes = []
    for tick in ticks(low, high, 5):
        shapes.append(line(_LEFT, up(tick), WIDTH - _RIGHT, up(tick), "grid"))
        shapes.append(text(_LEFT - 6, up(tick) + 4, number(tick), "end"))
    for place, version in enumerate(versions):
        own = [point for point in mine if point["model_version"] == version]
        if not own:
            continue
        nudge = (place - (len(versions) - 1) / 2) * min(4.0, slot / 12)
        shapes += _line_of(own, _COLOURS[place], nudge, across, up, marked)
    every = max(1, -(-len(parts_of_data) // 8))
    for partition in parts_of_data[::every]:
        shapes.append(text(across(partition), _HEIGHT - 10, partition[:14], "middle"))
    return picture(_HEIGHT, shapes, title)


def _line_of(
    points: Sequence[Point],
    colour: str,
    nudge: float,
    across: Any,
    up: Any,
    marked: Collection[tuple[str, str]],
) -> list[str]:
    ordered = sorted(points, key=lambda point: point["partition"])
    places = [(across(p["partition"]) + nudge, up(p["value"]), p) for p in ordered]
    path = " ".join(f"{x:.2f},{y:.2f}" for x, y, _ in places)
    found = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>']
    for x, y, point in places:
        if (point["model_version"], point["partition"]) not in marked:
            continue
        said = f"version {point['model_version']}, {point['partition']}: {point['value']:.4g}"
        if point["low"] is not None and point["high"] is not None:
            said += f" [{point['low']:.4g}, {point['high']:.4g}]"
            found.append(
                f'<path d="M{x:.2f} {up(point["low"]):.2f}V{up(point["high"]):.2f}" '
                f'stroke="{colour}" stroke-width="1.2"/>'
            )
        words = escape(f"{said}, n = {point['n']:,}")
        found.append(
            f'<circle cx="{x:.2f}" cy="{y:.2f}" r="3.4" fill="{colour}">'
            f"<title>{words}</title></circle>"
        )
    return found


def colours(points: Sequence[Point]) -> dict[str, str]:
    """Return the colour of each version that is drawn."""
    return dict(zip(_versions(points), _COLOURS, strict=False))


def _legend(points: Sequence[Point]) -> str:
    shapes, x = [], 0.0
    for version, colour in colours(points).items():
        words = f"version {version[:20]}"
        dot = rect(x, 4, 12, 12, "").replace("<rect", f'<rect fill="{colour}"')
        shapes += [dot, text(x + 18, 14, words, look="name")]
        x += 18 + 7.0 * len(words) + 18
    return picture(22, shapes, "Versions")


def _versions(points: Sequence[Point]) -> list[str]:
    """Return the newest versions, those with a number in its order, the oldest first."""
    found = {point["model_version"] for point in points}
    ordered = sorted(found, key=lambda v: (0, int(v), v) if v.isdecimal() else (1, 0, v))
    return ordered[-_MOST_VERSIONS:]


def _measured(points: Sequence[Point], metric: str) -> list[Point]:
    shown = set(_versions(points))
    return [
        point
        for point in points
        if point["metric"] == metric
        and point["value"] is not None
        and point["slice"] == ""
        and point["model_version"] in shown
    ]


def _queue(queue: Mapping[str, Any] | None) -> str:
    if not queue:
        return '<p class="faint">No prediction of it ever went to people.</p>'
    oldest = queue["oldest_s"]
    waits = f", the oldest for {oldest / 3600:.1f} h" if oldest is not None else ""
    return (
        f"<p>{queue['open']:,} predictions wait for people{waits}; {queue['answered']:,} are "
        f"answered, {queue['expired']:,} expired, {queue['withdrawn']:,} withdrawn.</p>"
    )
