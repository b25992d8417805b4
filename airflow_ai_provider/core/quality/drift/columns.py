"""One column of a data set, as a comparison needs it; and where it is read from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from airflow_ai_provider.core.quality.drift.categories import Categories
from airflow_ai_provider.core.quality.drift.measures import Kind
from airflow_ai_provider.core.quality.drift.numbers import Sample, Sketch

Values = Sample | Sketch | Categories

_NUMBERS = re.compile(
    r"U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|REAL|DECIMAL(\(.*\))?|TIME|INTERVAL"
)
_TIMES = re.compile(r"DATE|TIMESTAMP.*")


def kind_of(type_: str) -> Kind:
    """Return what the values of DuckDB's type ``type_`` are, unless said otherwise."""
    written = type_.upper()
    if _NUMBERS.fullmatch(written):
        return Kind.NUMBER
    return Kind.TIME if _TIMES.fullmatch(written) else Kind.CATEGORY


@dataclass(frozen=True, kw_only=True)
class ColumnValues:
    """A column's values: a time is a number of seconds since 1970, in UTC."""

    name: str
    type: str
    kind: Kind
    rows: int
    values: Values

    @property
    def missing(self) -> int:
        """How many rows have no value; NaN is none."""
        return self.rows - self.values.count

    @property
    def missing_rate(self) -> float | None:
        """The share of rows without a value; None of no rows."""
        return self.missing / self.rows if self.rows else None


class NotOfKindError(Exception):
    """A column's values are of another kind; the message says which."""


class Source(Protocol):
    """A data set whose columns can be read, one at a time."""

    @property
    def rows(self) -> int:
        """How many rows there are."""

    @property
    def types(self) -> Mapping[str, str]:
        """DuckDB's type of each column, in the data's order."""

    def look_ahead(self, names: Sequence[str]) -> None:
        """Read at once what a comparison of these columns needs, where that is cheaper.

        :raises DataReadError: the data cannot be read.
        """

    def column(
        self, name: str, kind: Kind | None = None, *, like: Values | None = None
    ) -> ColumnValues:
        """Return the values of column ``name`` as ``kind`` (its type's unless said).

        ``like`` are the reference's values: its categories are kept apart, however rare, and a
        source that counts (a table) counts numbers at its points.

        :raises NotOfKindError: they are not of this kind.
        :raises DataReadError: the data cannot be read.
        """
