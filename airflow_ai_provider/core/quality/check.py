"""One compiled expectation: what it reads, how it is judged, which rows fail it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_ai_provider.core.errors import SuiteError
from airflow_ai_provider.core.quality.sql import EXACT_INTEGERS, Column, Family
from airflow_ai_provider.core.quality.suite import Expectation, Suite

RELATION = "data"  # the view that every statement reads
ROWS = "count(*)"
SHOWN = 20  # Great Expectations' partial_unexpected_count

Facts = Mapping[str, Any]  # an aggregate's SQL text -> its value
Compile = Callable[["Expectation", "Schema"], "Check"]
Extent = tuple[int, int]  # the least and the greatest of a column of integers
COUNTABLE = (
    *(Family.INTEGER, Family.FLOAT, Family.DECIMAL, Family.TEXT),
    *(Family.BOOLEAN, Family.TIMESTAMP, Family.DATE),
)


class NotCompiledError(Exception):
    """The expectation has no compiled form with the same meaning; the message says why."""


class Sample(str, Enum):
    """How a failing row is shown."""

    VALUE = "value"
    PAIR = "pair"
    RECORD = "record"
    NULLS = "nulls"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an expectation says of the data.

    ``unsure`` is the reason why the measured figures cannot decide as Great Expectations would;
    then its own engine must.
    """

    success: bool = False
    result: Mapping[str, Any] | None = None
    unsure: str | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """A compiled expectation.

    ``reads`` are aggregates over the relation, ``failing`` a predicate that is true of each row
    that fails it (None when the expectation is about no row in particular); ``failing_by`` makes
    it when the figures are known. ``more`` are statements of their own, made when figures are
    known, and again until none is new; the fact of each are its rows.
    """

    expectation: Expectation
    reads: tuple[str, ...]
    judge: Callable[[Facts], Outcome]
    failing: str | None = None
    failing_by: Callable[[Facts], str | None] | None = None
    more: Callable[[Facts], Mapping[str, str]] | None = None
    shown: tuple[Column, ...] = ()
    sample: Sample = Sample.NONE


def counted(predicate: str) -> str:
    """Return the aggregate that counts the rows that meet ``predicate``.

    ``count_if`` is null of no rows, and ``FILTER`` takes a multiple of the time.
    """
    return f"count(CASE WHEN {predicate} THEN 1 END)"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows that an expectation is about: all, or those that meet its ``row_condition``."""

    condition: str | None = None

    @property
    def count(self) -> str:
        """The aggregate that counts them."""
        return ROWS if self.condition is None else counted(self.condition)

    def where(self, predicate: str) -> str:
        """Return the aggregate that counts those that meet ``predicate``."""
        return counted(self.both(predicate))

    def both(self, predicate: str) -> str:
        """Return the predicate that a row is one of these and meets ``predicate``."""
        return predicate if self.condition is None else f"({self.condition} AND ({predicate}))"

    def of(self, expression: str, predicate: str | None = None) -> str:
        """Return ``expression`` where the row is one of these (and meets ``predicate``)."""
        if predicate is not None:
            return f"CASE WHEN {self.both(predicate)} THEN {expression} END"
        if self.condition is None:
            return expression
        return f"CASE WHEN {self.condition} THEN {expression} END"


ALL_ROWS = Rows()


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The columns of the data that a suite is compiled against, and which rows count."""

    suite: Suite
    columns: Sequence[Column]
    rows: Rows = ALL_ROWS
    count: int | None = None  # how many rows there are, where that is known beforehand
    extent: Callable[[Column], Extent | None] = lambda _: None  # likewise, of an integer column
    held: int = 1 << 22  # values that an aggregate may hold: 32 MiB of them, doubled as it grows

    def column(self, expectation: Expectation, name: str) -> Column:
        """Return the column ``name``.

        :raises SuiteError: the data has no such column.
        :raises NotCompiledError: it is one that only the reference reads.
        """
        self.need(expectation, name)
        column = next(c for c in self.columns if c.name == name)
        if column.own:
            raise NotCompiledError(f"column {name} holds {column.own}")
        return column

    def need(self, expectation: Expectation, name: str) -> None:
        """Make sure that the data has the column ``name``.

        :raises SuiteError: it has not.
        """
        if not any(column.name == name for column in self.columns):
            known = [column.name for column in self.columns]
            raise missing_column(self.suite, expectation, name, known)


def missing_column(
    suite: Suite, expectation: Expectation, name: str, columns: Sequence[str]
) -> SuiteError:
    """Return the error that the data, which has ``columns``, has no column ``name``."""
    known = ", ".join(columns[:40])
    return suite.error(
        expectation,
        f"looks at the column {name!r}, which the data does not have",
        f"The data has {known}.",
    )


def need(column: Column, *families: Family) -> None:
    """Refuse a column of another kind.

    :raises NotCompiledError: it is of none of ``families``.
    """
    if column.family not in families:
        raise NotCompiledError(
            f"column {column.name} is {column.type}, which pandas compares in its own way"
        )


def exact(columns: Sequence[Column]) -> tuple[str, ...]:
    """Return the reads that tell whether ``columns`` hold integers that a float cannot."""
    return tuple(f"{f}({c.sql})" for c in columns if c.wide for f in ("min", "max"))


def inexact(facts: Facts, columns: Sequence[Column]) -> str | None:
    """Return the reason when a value is beyond what pandas' floats hold exactly."""
    for column in columns:
        if not column.wide:
            continue
        for edge in ("min", "max"):
            value = facts[f"{edge}({column.sql})"]
            if value is not None and abs(value) > EXACT_INTEGERS:
                return f"column {column.name} holds integers beyond 2^53"
    return None


def judge_rows(
    expectation: Expectation, *, total: int, considered: int | None, unexpected: int
) -> Outcome:
    """Return what a row-level expectation says: whether as many rows as ``mostly`` says met it.

    ``considered`` is the number of rows that count (not missing); None where missing rows count.
    """
    return Outcome(
        success=_mostly_met(
            total if considered is None else considered,
            unexpected,
            float(expectation.kwargs.get("mostly", 1)),
        ),
        result=_map_result(total, considered, unexpected),
    )


def _mostly_met(considered: int, unexpected: int, mostly: float) -> bool:
    """Return whether enough rows met it, in Great Expectations' own arithmetic."""
    if considered == 0:
        return True
    return (float(considered) - float(unexpected)) / float(considered) >= mostly


def _map_result(total: int, considered: int | None, unexpected: int) -> dict[str, Any]:
    """Return the figures of a row-level expectation, as Great Expectations names them."""
    result: dict[str, Any] = {"element_count": total, "unexpected_count": unexpected}
    of_total = unexpected / total * 100 if total else None
    if considered is None:
        return {**result, "unexpected_percent": of_total}
    missing = total - considered
    of_considered = unexpected / considered * 100 if considered else None
    return {
        **result,
        "unexpected_percent": of_considered,
        "missing_count": missing,
        "missing_percent": missing / total * 100 if total else None,
        "unexpected_percent_total": of_total,
        "unexpected_percent_nonmissing": of_considered,
    }
