"""From what was seen to expectations that the next delivery should meet, each with its reason.

Critical is what breaks whoever reads the data: columns, types, keys, values that were never
missing. A warning is what a person should look at: ranges, sets, shapes. Whoever knows the data
edits both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from airflow_ai_provider.core.quality.suggest.margins import (
    bounded,
    count_bounds,
    number_bounds,
    share_below,
    time_bounds,
)
from airflow_ai_provider.core.quality.suggest.seen import (
    SHOWN_TEXT,
    ColumnSeen,
    Kind,
    TableSeen,
)
from airflow_ai_provider.core.quality.suggest.shapes import shape_of

MOST_VALUES = 20  # of a set
FEW, ENOUGH = 20, 100  # rows below which nothing, and from which means are told
_LONG_VALUE = 60  # characters; longer texts are no names of a set
_KEY = re.compile(r"(^|[_\W])(id|ids|key|uuid|guid|pk)$|(?<=[a-z])(Id|ID|Key)$", re.IGNORECASE)

Entry = dict[str, Any]


def propose(table: TableSeen) -> list[Entry]:
    """Return the expectations, in Great Expectations' 1.x form, columns in the data's order."""
    found = list(_table_level(table))
    for column in table.columns:
        found += _column_level(column)
    return found


def entry(kind: str, severity: str, why: str, **kwargs: Any) -> Entry:
    """Return one expectation with the reason for it."""
    return {
        "type": f"expect_{kind}",
        "kwargs": kwargs,
        "severity": severity,
        "meta": {"notes": why},
    }


def _table_level(table: TableSeen) -> Iterator[Entry]:
    names = [column.name for column in table.columns]
    yield entry(
        "table_columns_to_match_set",
        "critical",
        "Every column that was there; more of them are no failure here.",
        column_set=names,
        exact_match=False,
    )
    yield entry(
        "table_column_count_to_equal",
        "warning",
        "A column more is a change that somebody should know of.",
        value=len(names),
    )
    if not table.rows:
        why = "No rows were there, and a gate passes none unless this says so: raise it."
        yield entry("table_row_count_to_be_between", "warning", why, min_value=0)
        return
    low, high = count_bounds(table.rows)
    yield entry(
        "table_row_count_to_be_between",
        "warning",
        f"{table.rows:,} rows were seen; half to double, rounded.",
        min_value=low,
        max_value=high,
    )


def _column_level(column: ColumnSeen) -> list[Entry]:
    found = [*_types(column), *_presence(column)]
    if column.present:
        found += _unique(column)
        found += _domain(column) or [*_range(column), *_mean(column), *_text(column)]
    return found


def _types(column: ColumnSeen) -> Iterator[Entry]:
    if not column.types or not column.present:
        return
    why = f"It was read as {column.types[0]}."
    if len(column.types) > 1:
        why = f"{why[:-1]}; with missing values pandas makes it {column.types[1]}."
    if column.types == ("str",):
        yield entry("column_values_to_be_of_type", "critical", why, column=column.name, type_="str")
        return
    yield entry(
        "column_values_to_be_in_type_list",
        "critical",
        why,
        column=column.name,
        type_list=list(column.types),
    )


def _presence(column: ColumnSeen) -> Iterator[Entry]:
    if not column.present:
        return
    share = column.present / column.rows
    if column.missing == 0:
        why = f"None of {column.rows:,} values was missing."
        yield entry("column_values_to_not_be_null", "critical", why, column=column.name)
    elif share >= 0.5:
        why = f"{100 * (1 - share):.2f} % were missing; some more are let be."
        mostly = share_below(share)
        yield entry(
            "column_values_to_not_be_null", "warning", why, column=column.name, mostly=mostly
        )


def _unique(column: ColumnSeen) -> Iterator[Entry]:
    """Propose a key: all different in the sample, and named like one or many."""
    if column.kind not in {Kind.INTEGER, Kind.TEXT} or len(column.counts) < len(column.sample):
        return
    named = bool(_KEY.search(column.name))
    if len(column.sample) < (2 if named else FEW):
        return
    why = "No value came twice" + (", and it is named like a key." if named else ".")
    severity = "critical" if named and not column.missing else "warning"
    yield entry("column_values_to_be_unique", severity, why, column=column.name)


def _domain(column: ColumnSeen) -> list[Entry]:
    """Propose a set, where every value came more than once: then others are not likely.

    By Good and Turing the chance that the next value is a new one is the share of values that came
    once. A set names values, so none is made of what may be personal.
    """
    if column.personal or column.kind not in {Kind.TEXT, Kind.INTEGER, Kind.BOOLEAN}:
        return []
    values = column.domain
    if not values or len(values) > MOST_VALUES or min(values.values()) < 2:
        return []
    if column.kind is Kind.BOOLEAN:
        why = "Only one truth value was seen." if len(values) == 1 else ""
        listed = [v for v in (False, True) if v in values]
        return [_set(column, listed, why, "info")] if why else []
    often = 5 if column.kind is Kind.TEXT else 20
    if column.present < often * len(values):
        return []
    if column.kind is Kind.TEXT and any(len(v) > _LONG_VALUE for v in values):
        return []
    why = f"{len(values)} different values were seen, each at least {min(values.values())} times."
    if len(values) == 1:
        why = "It was always the same value."
    return [_set(column, sorted(values), why, "warning" if len(values) > 1 else "info")]


def _set(column: ColumnSeen, values: list[Any], why: str, severity: str) -> Entry:
    return entry("column_values_to_be_in_set", severity, why, column=column.name, value_set=values)


def _range(column: ColumnSeen) -> Iterator[Entry]:
    least, most = column.least, column.most
    if least is None or most is None:
        return
    if isinstance(least, date) and isinstance(most, date):
        low, high = time_bounds(least, most)
        seen = f"{least.isoformat()[:10]} to {most.isoformat()[:10]}"
    elif isinstance(least, (int, float, Decimal)) and isinstance(most, (int, float, Decimal)):
        low, high = number_bounds(least, most)  # type: ignore[assignment]
        seen = f"{least:g} to {most:g}" if column.kind is Kind.NUMBER else f"{least} to {most}"
    else:
        return
    why = f"{'A range' if column.personal else seen} was seen, widened and rounded."
    if column.kind is Kind.INTEGER and (_KEY.search(column.name) or _counts_on(column)):
        high, why = None, f"{why[:-1]}; a number that counts on has no upper end."
    arguments = bounded(column.name, low, high)
    if len(arguments) > 1:
        yield entry("column_values_to_be_between", "warning", why, **arguments)


def _counts_on(column: ColumnSeen) -> bool:
    return len(column.sample) >= ENOUGH and len(column.counts) == len(column.sample)


def _mean(column: ColumnSeen) -> Iterator[Entry]:
    """Propose where the mean lies: what moves every value a little is seen nowhere else."""
    numbers = [float(v) for v in column.sample if _finite(v)] if column.kind.numeric else []
    if column.mean is None or len(numbers) < ENOUGH or _KEY.search(column.name):
        return
    middle = sum(numbers) / len(numbers)
    variance = sum((v - middle) ** 2 for v in numbers) / len(numbers)
    room = math.sqrt(variance) / 2 if _finite(variance) else 0.0
    if not (room > 0 and _finite(column.mean) and len(column.counts) > 2):
        return
    low, high = number_bounds(column.mean - room, column.mean + room)
    arguments = bounded(column.name, low, high)
    if len(arguments) > 1:
        why = f"The mean was {column.mean:.6g}; it may move by half a standard deviation and more."
        yield entry("column_mean_to_be_between", "warning", why, **arguments)


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value) and abs(value) < 1e150
    except (OverflowError, TypeError):
        return False


def _text(column: ColumnSeen) -> Iterator[Entry]:
    if column.kind is not Kind.TEXT:
        return
    whole = [v for v in column.counts if len(v) < SHOWN_TEXT]
    several = len(whole) >= FEW or (_KEY.search(column.name) and len(whole) > 1)
    shape = shape_of(whole) if several and len(whole) == len(column.counts) else None
    if shape and not column.personal:
        name, pattern = shape
        why = f"All values seen are {name}."
        yield entry(
            "column_values_to_match_regex", "warning", why, column=column.name, regex=pattern
        )
    elif column.longest is not None and column.shortest is not None:
        low, high = min(column.shortest, 1), max(10, 2 * column.longest)
        if column.shortest == column.longest and len(column.sample) >= ENOUGH:
            low = high = column.longest
        why = f"{column.shortest} to {column.longest} characters were seen."
        if column.personal:
            why = f"It seems to hold personal data: {column.personal}. {why}"
        yield entry(
            "column_value_lengths_to_be_between", "warning", why,
            **bounded(column.name, low, high),
        )  # fmt: skip
