"""What was seen of a column: figures over every row, and a sample of its values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any

SHOWN_TEXT = 400  # characters of a text that a sample keeps


class Kind(str, Enum):
    """What a column holds, as far as expectations differ by it."""

    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    OTHER = "other"

    @property
    def numeric(self) -> bool:
        """Whether it has a mean."""
        return self in {Kind.INTEGER, Kind.NUMBER}


@dataclass(frozen=True, kw_only=True)
class ColumnSeen:
    """One column.

    ``rows``, ``present``, ``least``, ``most``, ``mean``, ``shortest`` and ``longest`` are of every
    row; None where they do not apply or nobody could tell. ``sample`` are present values of some
    rows, texts cut to ``SHOWN_TEXT``. ``domain`` are all different values where they are few, with
    how many rows each has. ``types`` are names that the engine has for its type. ``personal`` says
    what kind of personal data it seems to hold.
    """

    name: str
    kind: Kind
    rows: int
    present: int
    types: Sequence[str] = ()
    least: float | date | Decimal | None = None
    most: float | date | Decimal | None = None
    mean: float | None = None
    shortest: int | None = None
    longest: int | None = None
    sample: Sequence[Any] = ()
    domain: Mapping[Any, int] | None = None
    personal: str | None = None

    @cached_property
    def counts(self) -> Counter[Any]:
        """How often each value is in the sample."""
        return Counter(self.sample)

    @property
    def missing(self) -> int:
        """How many rows have no value."""
        return self.rows - self.present


@dataclass(frozen=True, kw_only=True)
class TableSeen:
    """The data: its rows, and every column in its order."""

    rows: int
    columns: Sequence[ColumnSeen]


def kind_of_values(values: Sequence[Any]) -> Kind:
    """Return what present ``values`` are: of one kind, or other."""
    kinds = {_kind(value) for value in values}
    if kinds == {Kind.INTEGER, Kind.NUMBER}:
        return Kind.NUMBER
    return kinds.pop() if len(kinds) == 1 else Kind.OTHER


def _kind(value: Any) -> Kind:
    if isinstance(value, bool):
        return Kind.BOOLEAN
    if isinstance(value, int):
        return Kind.INTEGER
    if isinstance(value, (float, Decimal)):
        return Kind.NUMBER
    if isinstance(value, str):
        return Kind.TEXT
    if isinstance(value, datetime):
        return Kind.TIME
    return Kind.DATE if isinstance(value, date) else Kind.OTHER
