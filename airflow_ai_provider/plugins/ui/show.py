"""How values are written on a page; what they return is plain text, which the template escapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from airflow_ai_provider.core.lifecycle.page.trend import look, trend

NOTHING = "\N{EN DASH}"
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def duration(seconds: float | None) -> str:
    """Return seconds as a person says them: ``8 s``, ``3 min``, ``2 h 5 min``, ``4 d 3 h``."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        hours, rest = divmod(whole, _HOUR)
        return f"{hours} h {rest // _MINUTE} min"
    days, rest = divmod(whole, _DAY)
    return f"{days} d {rest // _HOUR} h"


def gibibytes(mebibytes: float | None) -> str:
    """Return MiB as GiB."""
    return NOTHING if mebibytes is None else f"{mebibytes / 1024:.3g} GiB"


def figure(value: Any) -> str:
    """Return a number in few digits; anything else as text."""
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:.4g}"


def percent(value: float | None) -> str:
    """Return a share as percent."""
    return NOTHING if value is None else f"{value * 100:.3g} %"


def when(value: datetime | str | None) -> Markup | str:
    """Return a moment in UTC, marked up for the page's script to write in the viewer's zone."""
    if value is None:
        return NOTHING
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    moment = moment.replace(tzinfo=moment.tzinfo or timezone.utc).astimezone(timezone.utc)
    text = moment.strftime("%Y-%m-%d %H:%M UTC")
    stamp = moment.isoformat(timespec="seconds")
    return Markup('<time datetime="{}">{}</time>').format(stamp, text)


def task_link(task: dict[str, Any]) -> str:
    """Return the address of a task in Airflow's own pages, from one of ours."""
    address = f"../../dags/{_part(task['dag_id'])}/runs/{_part(task['run_id'])}"
    if not task.get("task_id"):
        return address
    address += f"/tasks/{_part(task['task_id'])}"
    index = task.get("map_index")
    return address if index is None or index < 0 else f"{address}/mapped/{index}"


def _part(text: Any) -> str:
    return quote(str(text), safe="")


FILTERS: dict[str, Callable[..., Any]] = {
    "duration": duration,
    "gib": gibibytes,
    "figure": figure,
    "percent": percent,
    "when": when,
    "task_link": task_link,
    "part": _part,
    "trend": lambda points: Markup(trend(points)),  # noqa: S704 - every word in it was escaped
    "kpi_look": look,
}
