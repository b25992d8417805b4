"""What an expectation's arguments may be, found before any data is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, TypeGuard

_PAIR_ROWS = ("both_values_are_missing", "either_value_is_missing", "neither")
_LIST_ROWS = ("all_values_are_missing", "any_value_is_missing", "never")

Problem = tuple[str, str]


def wrong_argument(kind: str, kwargs: Mapping[str, Any]) -> Problem | None:
    """Return what is wrong with ``kwargs`` and what to do, or None."""
    for name, value in kwargs.items():
        problem = _wrong_value(name, value)
        if problem:
            return problem
    return _wrong_bounds(kind, kwargs) or _wrong_rows(kind, kwargs)


def _wrong_value(name: str, value: Any) -> Problem | None:
    if name in {"column", "column_A", "column_B"} and not (isinstance(value, str) and value):
        return f"has the {name} {value!r}", "Name a column."
    if name == "mostly" and not (_is_number(value) and 0 <= value <= 1):
        return f"has mostly={value!r}", "Give a share from 0 to 1."
    if name in {"value_set", "column_list"} and not isinstance(value, (list, tuple, set)):
        return f"has a {name} that is no list", "Give a list."
    if name in {"strict_min", "strict_max"} and not isinstance(value, bool):
        return f"has {name}={value!r}", "Give true or false."
    if name == "regex":
        return _wrong_regex(value)
    if name in {"min_value", "max_value"} and value is not None and not _is_bound(value):
        return f"has {name}={value!r}", "Give a number or an ISO date."
    return None


def _wrong_regex(value: Any) -> Problem | None:
    try:
        re.compile(value)
    except (re.error, TypeError, RecursionError, OverflowError) as error:
        return f"has the regular expression {value!r}, which is none: {error}", "Correct it."
    return None


def _wrong_bounds(kind: str, kwargs: Mapping[str, Any]) -> Problem | None:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    needs_one = (
        "expect_column_values_to_be_between",
        "expect_column_value_lengths_to_be_between",
    )
    if kind in needs_one and low is None and high is None:
        return "has neither min_value nor max_value", "Give at least one of them."
    if _is_number(low) and _is_number(high) and low > high:
        return f"has min_value {low} above max_value {high}", "Exchange them."
    return None


def _wrong_rows(kind: str, kwargs: Mapping[str, Any]) -> Problem | None:
    said = kwargs.get("ignore_row_if")
    known = _PAIR_ROWS if "_pair_" in kind else _LIST_ROWS
    if said is not None and said not in known:
        return f"has ignore_row_if={said!r}", f"Use one of {', '.join(known)}."
    listed = kwargs.get("column_list")
    if listed is not None and "table" not in kind and len(listed) < 2:
        return "has a column_list of fewer than two columns", "Name at least two."
    return None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_bound(value: Any) -> bool:
    if _is_number(value) or isinstance(value, date):
        return True
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        try:
            datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return False
    return True
