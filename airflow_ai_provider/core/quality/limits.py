"""The limits that an expectation sets: sets of values, and bounds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from airflow_ai_provider.core.quality.check import NotCompiledError, need
from airflow_ai_provider.core.quality.sql import Column, Family, number
from airflow_ai_provider.core.quality.suite import Expectation


def value_set_of(e: Expectation, column: Column) -> list[Any]:
    """Return the set, if its values are of the column's kind.

    :raises NotCompiledError: they are not; pandas has rules of its own for mixed kinds.
    """
    kinds: Mapping[Family, tuple[type, ...]] = {
        Family.INTEGER: (int, float),
        Family.FLOAT: (int, float),
        Family.TEXT: (str,),
        Family.BOOLEAN: (bool,),
    }
    need(column, *kinds)
    values = list(e.kwargs["value_set"])
    wanted = kinds[column.family]
    if not all(isinstance(v, wanted) for v in values) or (
        column.family is not Family.BOOLEAN and any(isinstance(v, bool) for v in values)
    ):
        raise NotCompiledError(f"the set holds other kinds of values than column {column.name}")
    if any(isinstance(v, str) and "\0" in v for v in values):
        raise NotCompiledError("the set holds a null character")
    return [v for v in values if not (isinstance(v, float) and math.isnan(v))]  # NaN is missing


_DAY = re.compile(r"\d{4}-\d{1,2}-\d{1,2}$")


def bound(value: Any) -> float | date | None:
    """Return the limit that Great Expectations makes of an argument.

    A number or the text of one is a float, a day is a date, a time of day makes it a datetime.

    :raises NotCompiledError: it is none of these.
    """
    if value is None or isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        pass
    try:
        if _DAY.fullmatch(value):
            return date(*(int(part) for part in value.split("-")))
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    except (AttributeError, TypeError, ValueError):
        raise NotCompiledError(f"the bound {value!r} is neither a number nor a date") from None


def bounds(kwargs: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return lower and upper bound as the numbers that Great Expectations makes of them.

    :raises NotCompiledError: one is a date.
    """
    found: list[float | None] = []
    for name in ("min_value", "max_value"):
        value = kwargs.get(name)
        try:
            found.append(None if value is None else float(value))
        except (TypeError, ValueError):
            raise NotCompiledError(f"{name} is a date") from None
    return found[0], found[1]


def within(expression: str, kwargs: Mapping[str, Any]) -> str:
    """Return the predicate that ``expression`` lies within the bounds of ``kwargs``."""
    low, high = bounds(kwargs)
    parts = []
    if low is not None:
        parts.append(f"{expression} {'>' if kwargs.get('strict_min') else '>='} {number(low)}")
    if high is not None:
        parts.append(f"{expression} {'<' if kwargs.get('strict_max') else '<='} {number(high)}")
    return " AND ".join(parts) or "true"


def met(value: Any, kwargs: Any) -> bool:
    """Return whether ``value`` lies within the bounds of ``kwargs``."""
    low, high = bounds(kwargs)
    above = low is None or (value > low if kwargs.get("strict_min") else value >= low)
    below = high is None or (value < high if kwargs.get("strict_max") else value <= high)
    return bool(above and below)
