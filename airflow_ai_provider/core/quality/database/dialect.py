"""What databases do differently, as far as expectations meet it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """A database's way.

    ``ordered_sets``: it has ``percentile_disc(...) WITHIN GROUP``. ``distinct_rows``: it counts
    distinct combinations of columns. ``regex``: the reference sends it regular expressions, with
    this operator (empty: SQLAlchemy's own). ``like``: the reference sends it LIKE patterns.
    ``sample_deviation``: its aggregate for the sample's standard deviation. ``type_names``: the
    reference compares its types by name. ``steady``: it adds up in the same order each time.
    """

    name: str
    ordered_sets: bool = False
    distinct_rows: bool = False
    regex: str | None = None
    like: bool = False
    sample_deviation: str | None = "stddev_samp"
    type_names: bool = False
    steady: bool = False
    most_values: int = 1_000

    def matches(self, column: sa.ColumnElement[Any], pattern: str, *, wanted: bool) -> Any:
        """Return the predicate that ``pattern`` is (not) found in ``column``, as the reference."""
        if self.regex:
            operator = self.regex if wanted else f"!{self.regex}"
            return sa.BinaryExpression(
                column, sa.literal(pattern), sa.sql.operators.custom_op(operator)
            )
        found = column.regexp_match(sa.literal(pattern))
        return found if wanted else sa.not_(found)


POSTGRESQL = Dialect(
    name="postgresql",
    ordered_sets=True,
    distinct_rows=True,
    regex="~",
    like=True,
    type_names=True,
    most_values=20_000,
)
SQLITE = Dialect(
    name="sqlite", regex="", like=True, sample_deviation=None, steady=True, most_values=10_000
)
GENERIC = Dialect(name="generic", sample_deviation=None)

DIALECTS: Mapping[str, Dialect] = {"postgresql": POSTGRESQL, "sqlite": SQLITE}


def dialect_of(name: str) -> Dialect:
    """Return the dialect of a database by SQLAlchemy's name; what is unknown has the least."""
    return DIALECTS.get(name, GENERIC)


def chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Return ``items`` in pieces: a database limits columns and parameters of a statement."""
    return [items[i : i + size] for i in range(0, len(items), size)] or [[]]
