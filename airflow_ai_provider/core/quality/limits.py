"""The limits that an expectation sets: sets of values, and bounds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from airflow_ai_provider.core.quality.catalogue import PARSED
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
    """Return whether ``value`` lies within the bounds of ``kwargs``, as Python compares them."""
    low, high = time_bound(kwargs, "min_value"), time_bound(kwargs, "max_value")
    above = low is None or (value > low if kwargs.get("strict_min") else value >= low)
    below = high is None or (value < high if kwargs.get("strict_max") else value <= high)
    return bool(above and below)


def need_bounds_of(column: Column, kwargs: Mapping[str, Any]) -> None:
    """Refuse bounds that Python would not compare with the column's values.

    :raises NotCompiledError: they are of another kind.
    """
    within_column(column, kwargs)


def within_column(column: Column, kwargs: Mapping[str, Any]) -> str:
    """Return the predicate that a column's value lies within the bounds, as Python compares them.

    :raises NotCompiledError: Python would not compare the two, or the bounds are of other kinds.
    """
    parts = []
    for name, strict, loose, tight in (
        ("min_value", "strict_min", ">=", ">"),
        ("max_value", "strict_max", "<=", "<"),
    ):
        value = time_bound(kwargs, name)
        if value is not None:
            operator = tight if kwargs.get(strict) else loose
            parts.append(_compared(column, operator, value))
    return " AND ".join(parts) or "true"


def time_bound(kwargs: Mapping[str, Any], name: str) -> float | date | None:
    """Return a bound; with 0.18's ``parse_strings_as_datetimes`` a day is its midnight."""
    value = bound(kwargs.get(name))
    if not kwargs.get(PARSED) or value is None or isinstance(value, datetime):
        return value
    if not isinstance(value, date):
        raise NotCompiledError(f"{name} is no time")
    return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - as the texts, without zone


def _compared(column: Column, operator: str, value: float | date) -> str:
    if kind_of(value) is not _KINDS.get(column.family):
        raise NotCompiledError(
            f"column {column.name} is {column.type}, and its bound is a {kind_of(value).__name__}"
        )
    if column.family is Family.DECIMAL and isinstance(value, float):
        return _decimal(column, operator, value)
    if isinstance(value, datetime):
        zoned = column.type.upper() == "TIMESTAMP WITH TIME ZONE"
        if zoned is (value.tzinfo is None):
            raise NotCompiledError("times with and without a zone cannot be compared")
        kind = "TIMESTAMPTZ" if zoned else "TIMESTAMP"
        return f"{column.sql} {operator} {kind} '{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"{column.sql} {operator} DATE '{value.isoformat()}'"
    return f"{column.sql} {operator} {number(value)}"


_KINDS = {
    Family.INTEGER: float,
    Family.FLOAT: float,
    Family.DECIMAL: float,
    Family.DATE: date,
    Family.TIMESTAMP: datetime,
}


def kind_of(value: float | date) -> type:
    """Return whether a bound is a number, a day or a time."""
    if isinstance(value, datetime):
        return datetime
    return date if isinstance(value, date) else float


def _decimal(column: Column, operator: str, value: float) -> str:
    """Compare decimals with a float exactly, as Python does: 0.1 is a little more than a tenth."""
    always = "true" if (operator in {"<", "<="}) is (value > 0) else "false"
    if not math.isfinite(value):
        return always
    scaled = Fraction(value) * 10**column.scale
    whole = math.ceil(scaled) if operator in {">=", "<"} else math.floor(scaled)
    if abs(whole) >= 10**37:
        return always
    exact = Decimal(whole).scaleb(-column.scale, Context(prec=60))
    return f"{column.sql} {operator} '{exact:f}'::DECIMAL(38,{column.scale})"
