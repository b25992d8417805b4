"""A watermark between two reads: a number, a text, a day or a moment."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

from airflow_ai_provider.core.feedback.source import Position


def position_of(value: Any) -> Position:
    """Return a watermark as JSON."""
    if isinstance(value, datetime):
        return {"moment": value.isoformat()}
    if isinstance(value, date):
        return {"day": value.isoformat()}
    return {"value": value if isinstance(value, (int, float, str)) else str(value)}


def value_of(position: Position) -> Any:
    """Return the watermark that ``position_of`` wrote."""
    if "moment" in position:
        return datetime.fromisoformat(position["moment"])
    return date.fromisoformat(position["day"]) if "day" in position else position["value"]


def comparable(value: Any) -> Any:
    """Return a watermark so that two of one column compare."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=timezone.utc)
    return value
