"""The statements that a comparison asks of a table: counts, and nothing of a row but what is rare.

Numbers (and times) are counted at points that the reference knows: a value is at one or between
two. Between them the counts tell how many rows there are, not where: bin shares are exact, and
Kolmogorov-Smirnov and Wasserstein carry the error that ``core.quality.drift.distances`` states.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from airflow_ai_provider.core.quality.database.dialect import Dialect
from airflow_ai_provider.core.quality.database.readings import Expression, Reading
from airflow_ai_provider.core.quality.drift.numbers import (
    EXACT_VALUES,
    STEPS,
    Array,
    Sketch,
    tail_ranks,
)

_INFINITY = float("inf")
_SUMMARY = ("present", "wrong", "least", "greatest", "lowest", "highest")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What one scan says of a column of numbers; ``least`` and ``greatest`` are finite."""

    present: int
    wrong: int
    least: Any
    greatest: Any
    lowest: int  # rows of minus infinity
    highest: int


def summary_reads(reading: Reading) -> list[Expression]:
    """Return the aggregates that make a ``Summary``, in the order of ``as_summary``."""
    value = reading.value
    finite = value
    lowest: Expression = sa.literal(0)
    highest: Expression = sa.literal(0)
    if reading.endless:
        finite = sa.case((sa.and_(value > -_INFINITY, value < _INFINITY), value))
        lowest, highest = (_rows(value == end) for end in (-_INFINITY, _INFINITY))
    wrong: Expression = sa.literal(0) if reading.wrong is None else _rows(reading.wrong)
    return [
        sa.func.count(value), wrong, sa.func.min(finite), sa.func.max(finite), lowest, highest
    ]  # fmt: skip


def as_summary(row: Sequence[Any]) -> Summary:
    """Return the summary that the values of ``summary_reads`` mean."""
    found = dict(zip(_SUMMARY, row, strict=True))
    for name in ("present", "wrong", "lowest", "highest"):
        found[name] = int(found[name] or 0)
    for name in ("least", "greatest"):
        value = found[name]
        found[name] = value if value is None or isinstance(value, int) else float(value)
    return Summary(**found)


def _rows(predicate: Expression) -> Expression:
    return sa.func.sum(sa.case((predicate, 1), else_=0))


def points_of(reference: Array, seen: Summary) -> Array:
    """Return where to count: the reference's points, and the ends of what was seen.

    With the ends among the points no row lies beyond them, so that every error has a bound.
    """
    ends = [v for v in (seen.least, seen.greatest) if v is not None]
    if seen.lowest:
        ends.append(-_INFINITY)
    if seen.highest:
        ends.append(_INFINITY)
    return np.unique(np.concatenate([reference, np.array(ends)])) if ends else np.unique(reference)


def cell_of(value: Expression, points: Sequence[Any]) -> Expression:
    """Return the cell of ``value``: 2i + 1 at the i-th point, 2i between that before and it.

    A tree of comparisons as deep as the logarithm of their number: every database has ``CASE``.
    """
    bound = [sa.literal(point) for point in points]

    def within(low: int, high: int) -> Expression:
        """Return the cell of a value above point ``low - 1`` and below point ``high``."""
        if low == high:
            return sa.literal_column(str(2 * low))
        middle = (low + high) // 2
        return sa.case(
            (value < bound[middle], within(low, middle)),
            (value > bound[middle], within(middle + 1, high)),
            else_=sa.literal_column(str(2 * middle + 1)),
        )

    return within(0, len(bound))


def cells_statement(reading: Reading, points: Array, source: Any, dialect: Dialect) -> Any:
    """Return the statement of how many rows each cell has.

    OFFSET keeps the planner from putting the reading in place of its name at each comparison.
    """
    read = sa.select(reading.value.label("value")).select_from(source)
    values = read.where(reading.value.is_not(None)).offset(0).subquery("read")
    searched = _searched if dialect.name == "postgresql" else cell_of
    cell = searched(values.c.value, points.tolist()).label("cell")
    cells = sa.select(cell).subquery("cells")
    return sa.select(cells.c.cell, sa.func.count()).group_by(cells.c.cell)


def _searched(value: Expression, points: Sequence[Any]) -> Any:
    """Return the cell of ``value`` by PostgreSQL's own search, which no planner has to compile."""
    whole = all(isinstance(point, int) for point in points)
    kind: Any = sa.BigInteger() if whole else sa.Double()
    known: Any = sa.cast(sa.literal(list(points), ARRAY(kind)), ARRAY(kind))
    place: Any = sa.func.width_bucket(sa.cast(value, kind), known, type_=sa.Integer())
    at_it: Expression = value == sa.sql.elements.Grouping(known)[place]
    return sa.literal_column("2") * place - sa.case((at_it, 1), else_=0)


def sketch_of_cells(points: Array, rows: Iterable[Sequence[Any]]) -> Sketch:
    """Return the sketch that the answer to ``cells_statement`` means.

    Its mean and deviation are not asked for: a comparison takes the reference's.
    """
    counts = np.zeros(2 * len(points) + 1, dtype=np.int64)
    for cell, number in rows:
        counts[int(cell)] = int(number)
    reached = np.cumsum(counts)
    return Sketch(
        points=points,
        rows_below=reached[:-1:2],
        rows_at_most=reached[1::2],
        centre=float("nan"),
        spread=float("nan"),
    )


# --- a column's own sketch, for a profile -------------------------------------------------------


def spread_reads(reading: Reading, seen: Summary, mean: float | None = None) -> Expression:
    """Return the mean of the finite values, or the mean of their squared distance from ``mean``.

    Both in units of the greatest value there is, so that no square is beyond a double.
    """
    value = reading.value
    if reading.endless:
        value = sa.case((sa.and_(value > -_INFINITY, value < _INFINITY), value))
    part = sa.cast(value, sa.Double()) / sa.literal(unit_of(seen))
    if mean is None:
        return sa.func.avg(part)
    apart = part - sa.literal(mean)
    return sa.func.avg(apart * apart)


def unit_of(seen: Summary) -> float:
    """Return the greatest absolute value; 1 of none."""
    return float(max(abs(seen.least or 0), abs(seen.greatest or 0))) or 1.0


def values_statement(reading: Reading, source: Any) -> Any:
    """Return the statement of the different values with their rows, one more than is kept."""
    value = reading.value.label("value")
    return (
        sa.select(value, sa.func.count())
        .select_from(source)
        .where(reading.value.is_not(None))
        .group_by(value)
        .order_by(value)
        .limit(EXACT_VALUES + 1)
    )


def ranked_statement(reading: Reading, seen: Summary, source: Any) -> Any:
    """Return the statement of a sketch's points: value, rows below it, rows at or below it.

    The i-th of ``STEPS`` ranks is ceil(i * count / STEPS) - 1; a value stands at one of them just
    when a whole number lies in (below * STEPS / count, at most * STEPS / count].
    """
    counted = _counted(reading, source)
    reached = sa.cast(sa.func.sum(counted.c.number).over(order_by=counted.c.value), sa.BigInteger())
    inner = sa.select(counted.c.value, counted.c.number, reached.label("reached"))
    ranked = inner.subquery("ranked")
    upto, number = ranked.c.reached, ranked.c.number
    below = upto - number
    count = sa.literal(seen.present, sa.BigInteger())
    even = _floor(upto * STEPS, count) > _floor(below * STEPS, count)
    near = [sa.and_(below <= rank, upto > rank) for rank in tail_ranks(seen.present)]
    edge = seen.present // STEPS + 1
    outer = sa.and_(sa.or_(below <= edge, upto >= seen.present - edge), sa.or_(*near))
    ends = ranked.c.value.in_([seen.least, seen.greatest])
    return (
        sa.select(ranked.c.value, below, upto)
        .where(sa.or_(even, outer, ends))
        .order_by(ranked.c.value)
    )


def _counted(reading: Reading, source: Any) -> Any:
    """Return the different values, each with the number of its rows."""
    value = reading.value.label("value")
    return (
        sa.select(value, sa.func.count().label("number"))
        .select_from(source)
        .where(reading.value.is_not(None))
        .group_by(value)
        .subquery("counted")
    )


def _floor(above: Expression, under: Expression) -> Expression:
    """Return the whole part of a quotient of whole numbers, in whole numbers."""
    return (above - above % under) / under


# --- categories ---------------------------------------------------------------------------------


def groups_statement(reading: Reading, source: Any, keep: int) -> Any:
    """Return the statement of the ``keep`` most frequent categories, and of the others as one.

    A row of its answer is the category, its rows, and how many categories it stands for.
    """
    counted = _counted(reading, source)
    order = (counted.c.number.desc(), counted.c.value)
    place = sa.func.row_number().over(order_by=order).label("place")
    placed = sa.select(counted.c.value, counted.c.number, place).cte("placed")
    often = sa.select(placed.c.value, placed.c.number, sa.literal(1).label("stands_for"))
    rest = sa.select(sa.null(), sa.func.sum(placed.c.number), sa.func.count())
    return sa.union_all(often.where(placed.c.place <= keep), rest.where(placed.c.place > keep))


def known_statement(reading: Reading, source: Any, known: Sequence[Any]) -> Any:
    """Return the statement of the rows of some categories by name, however rare they are."""
    value = reading.value.label("value")
    return (
        sa.select(value, sa.func.count())
        .select_from(source)
        .where(sa.cast(reading.value, sa.String()).in_(known))
        .group_by(value)
    )
