"""Values of plain records, column by column, as rows hold them; others are declined."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timezone
from typing import Any

import msgspec

from airflow_ai_provider.core.feedback.parse import MAX_ID, MAX_LABEL
from airflow_ai_provider.core.feedback.record import MAX_INTEGER

Column = Sequence[Any]

_REPEATED = frozenset({str, int, float, bool})

_encode = msgspec.json.Encoder().encode
_PRECISION = {16: "minutes", 19: "seconds", 23: "milliseconds", 26: "microseconds"}
_REST = {
    "minutes": ":00.000000+00:00",
    "seconds": ".000000+00:00",
    "milliseconds": "000+00:00",
    "microseconds": "+00:00",
}
_SECONDS = re.compile(
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z\n)+"
)


class Declined(Exception):  # noqa: N818 - nothing is wrong
    """The record is not plain."""


def check_texts(column: Column) -> None:
    """Decline names and ids that do not print, are empty or too long."""
    if column and not (
        set(map(type, column)) == {str}
        and all(map(str.isprintable, column))
        and max(map(len, column)) <= MAX_ID
        and "" not in column
        and not any(map(str.isspace, column))
    ):
        raise Declined


def read_each(
    read: Callable[[Any], tuple[Any, ...]], column: Column, width: int
) -> list[Column] | None:
    """Return the columns that ``read`` makes of a column, None of one without a value."""
    kinds = set(map(type, column))
    kinds.discard(type(None))
    if not kinds:
        return None
    nothing = (None,) * width
    if len(kinds) == 1 and kinds.issubset(_REPEATED):  # others may be equal and yet not the same
        different = set(column)
        if len(different) < len(column) / 2 and not (0 in different and _has_minus_zero(column)):
            found = {value: nothing if value is None else read(value) for value in different}
            return list(zip(*map(found.__getitem__, column), strict=True))
    return list(zip(*[nothing if value is None else read(value) for value in column], strict=True))


def _has_minus_zero(column: Column) -> bool:
    return any(math.copysign(1, value) < 0 for value in column if value == 0)


def is_said(column: Column) -> bool:
    """Whether any value is there."""
    return any(value is not None for value in column)


def read_moments(column: Column) -> Column:
    """Return moments in UTC as ``moment_text`` writes them."""
    if set(map(type, column)) != {str}:
        raise Declined
    if _SECONDS.fullmatch("\n".join(column) + "\n"):
        for day in {text[:10] for text in column}:
            date.fromisoformat(day)
        return [text[:19] + ".000000+00:00" for text in column]
    return list(map(_moment, column))


def _moment(text: str) -> str:
    """Return a moment in UTC as ``moment_text`` writes it."""
    if text[-1:] == "Z":
        local, zone = text[:-1], "+00:00"
    else:
        local, zone = text[:-6], text[-6:]
    moment = datetime.fromisoformat(local)
    precision = _PRECISION.get(len(local))
    # which texts fromisoformat reads differs by version; what it gives back does not
    if precision is None or moment.isoformat(timespec=precision) != local:
        raise Declined
    if zone == "+00:00":
        return local + _REST[precision]
    moment = datetime.fromisoformat(text)
    if moment.isoformat(timespec=precision) != text:
        raise Declined
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def read_label(label: Any) -> tuple[Any, str, float | None]:
    """Return a label as it goes under the hash, as JSON, and as the number that it counts as."""
    if type(label) is str:
        if not label or len(label) > MAX_LABEL or label.isspace():
            raise Declined
        return label, _encode(label).decode(), None
    if type(label) is bool:
        return label, "true" if label else "false", float(label)
    number, exact = read_number(label)
    return exact, repr(exact), number


def read_number(number: Any) -> tuple[float, float]:
    """Return a number as a float, and as canonical JSON writes it without an exponent."""
    if type(number) is float:
        if number.is_integer() and abs(number) <= MAX_INTEGER:
            return number, int(number)
        if 1e-4 <= abs(number) <= MAX_INTEGER and not number.is_integer():
            return number, number
    elif type(number) is int and abs(number) <= MAX_INTEGER:
        return float(number), number
    raise Declined


def read_score(score: Any) -> tuple[float, float]:
    """Return an opinion as ``read_number`` does."""
    number, exact = read_number(score)
    if not 1 <= number <= 5:
        raise Declined
    return number, exact


def read_comment(comment: Any) -> tuple[str | None]:
    """Return a comment, an empty one as none."""
    if type(comment) is not str or "\x00" in comment:
        raise Declined
    return (comment or None,)


def read_attributes(own: Any, rest: Mapping[str, Any] | None) -> str | None:
    """Return the attributes as canonical JSON, when they are flat and their names are ASCII."""
    found = dict(rest or {})
    if own is not None:
        if type(own) is not dict or not found.keys().isdisjoint(own):
            raise Declined
        found.update(own)
    exact: dict[str, Any] = {}
    for name in sorted(found):
        value = found[name]
        if value is None:
            continue
        if type(name) is not str or not name.isascii():
            raise Declined
        exact[name] = value if type(value) in {str, bool} else read_number(value)[1]
    return _encode(exact).decode() if exact else None
