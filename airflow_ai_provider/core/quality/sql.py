"""Writing DuckDB's SQL safely, and what a column's type means to pandas."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Family(str, Enum):
    """What kind of values a column holds, as pandas will see them."""

    INTEGER = "integer"
    FLOAT = "float"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    DATE = "date"
    DECIMAL = "decimal"
    OTHER = "other"


_FAMILIES = {
    **dict.fromkeys(
        ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"],
        Family.INTEGER,
    ),
    "DOUBLE": Family.FLOAT,
    "VARCHAR": Family.TEXT,
    "BOOLEAN": Family.BOOLEAN,
    "TIMESTAMP": Family.TIMESTAMP,
    "TIMESTAMP_NS": Family.TIMESTAMP,
    "TIMESTAMP_MS": Family.TIMESTAMP,
    "TIMESTAMP_S": Family.TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": Family.TIMESTAMP,
    "DATE": Family.DATE,
}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
EXACT_INTEGERS = 2**53  # pandas turns an integer column with missing values into floats


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the data: its name and DuckDB's type.

    ``own`` says what it is where pandas holds it in a way that DuckDB does not have; the reference
    judges such a column.
    """

    name: str
    type: str
    own: str | None = None

    @property
    def family(self) -> Family:
        """What kind of values it holds."""
        if _DECIMAL.fullmatch(self.type):
            return Family.DECIMAL
        return _FAMILIES.get(self.type.upper(), Family.OTHER)

    @property
    def scale(self) -> int:
        """How many digits a decimal column has after the point."""
        found = _DECIMAL.fullmatch(self.type)
        return int(found[2]) if found else 0

    @property
    def sql(self) -> str:
        """Its quoted name."""
        return identifier(self.name)

    @property
    def as_seen(self) -> str:
        """The projection in which NaN is missing, as in pandas.

        ``isnan`` and comparisons with NaN would not do: DuckDB folds them to false where a Parquet
        file's statistics name a highest value, and writers leave NaN out of those.
        """
        if self.type.upper() in {"DOUBLE", "FLOAT"}:
            there = f"isfinite({self.sql}) OR isinf({self.sql})"
            return f"CASE WHEN {there} THEN {self.sql} END AS {self.sql}"
        return self.sql

    @property
    def wide(self) -> bool:
        """Whether it may hold integers that a float cannot."""
        return self.type.upper() in {"BIGINT"}


def identifier(name: str) -> str:
    """Return ``name`` quoted."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return ``value`` as a string literal."""
    return "'" + value.replace("'", "''") + "'"


def number(value: float) -> str:
    """Return ``value`` as a double: a plain ``0.1`` would be a decimal."""
    return f"{text(repr(float(value)))}::DOUBLE"


def literal(value: Any) -> str:
    """Return a string, number or truth value as a literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return text(value) if isinstance(value, str) else number(value)


def members(expression: str, values: Iterable[Any]) -> str:
    """Return the predicate that ``expression`` is one of ``values``; false for none."""
    listed = ", ".join(literal(v) for v in values)
    return f"{expression} IN ({listed})" if listed else "false"
