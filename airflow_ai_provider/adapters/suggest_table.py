"""A table as a suggestion looks at it: figures from the database, and some rows as a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.quality.database.check import TableColumn
from airflow_ai_provider.core.quality.suggest.propose import MOST_VALUES
from airflow_ai_provider.core.quality.suggest.seen import (
    SHOWN_TEXT,
    ColumnSeen,
    Kind,
    TableSeen,
    kind_of_values,
)

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.sql_tables import TableData

MOST_SAMPLED = 500_000  # values of a sample, all columns together


def see_table(data: TableData, sample: int) -> TableSeen:
    """Return what an open table holds; values are taken from its first ``sample`` rows.

    :raises DataReadError: the connection is lost, or the time is up.
    :raises StatementRefusedError: the database cannot even count its rows.
    """
    import sqlalchemy as sa

    rows = int(data.rows(sa.select(sa.func.count()).select_from(data.relation))[0][0])
    samples = _samples(data, sample)
    columns = [_seen(data, c, rows, samples[c.name]) for c in data.columns]
    return TableSeen(rows=rows, columns=columns)


def _samples(data: TableData, rows: int) -> dict[str, list[Any]]:
    import sqlalchemy as sa

    most = max(1, min(rows, MOST_SAMPLED // max(len(data.columns), 1)))
    statement = sa.select(*(c.sql for c in data.columns)).select_from(data.relation).limit(most)
    taken = data.rows(statement)
    return {
        c.name: [_plain(row[i]) for row in taken if row[i] is not None]
        for i, c in enumerate(data.columns)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value[:SHOWN_TEXT]
    if value is None or isinstance(value, (bool, int, float, Decimal, date)):
        return value
    return str(type(value))  # only that it is of another kind


def _seen(data: TableData, column: TableColumn, rows: int, sample: Sequence[Any]) -> ColumnSeen:
    kind = kind_of_values(sample) if not _unusable(sample) else Kind.OTHER
    if kind is Kind.INTEGER and _fractional(column):
        kind = Kind.NUMBER
    seen = ColumnSeen(
        name=column.name,
        kind=kind,
        rows=rows,
        present=_count(data, column),
        types=(column.type,) if column.type else (),
        sample=sample,
    )
    return _with_domain(data, column, _with_figures(data, column, seen))


def _unusable(sample: Sequence[Any]) -> bool:
    """Return whether values of other kinds, which only their class stands for, are among them."""
    return any(isinstance(v, str) and v.startswith("<class ") for v in sample)


def _fractional(column: TableColumn) -> bool:
    import sqlalchemy as sa

    return isinstance(column.native, sa.Numeric)


def _count(data: TableData, column: TableColumn) -> int:
    import sqlalchemy as sa

    return int(_one(data, [sa.func.count(column.sql)])[0] or 0)


def _one(data: TableData, reads: Sequence[Any]) -> Sequence[Any]:
    """Return the one row of aggregates; nothing known where the database refuses them."""
    import sqlalchemy as sa

    from airflow_ai_provider.adapters.sql_tables import StatementRefusedError

    try:
        return data.rows(sa.select(*reads).select_from(data.relation))[0]
    except StatementRefusedError:  # an aggregate that its type has not: then nothing is proposed
        return [None] * len(reads)


def _with_figures(data: TableData, column: TableColumn, seen: ColumnSeen) -> ColumnSeen:
    import sqlalchemy as sa

    name = column.sql
    if seen.kind is Kind.TEXT:
        length = sa.func.length(name)
        shortest, longest = _one(data, [sa.func.min(length), sa.func.max(length)])
        return replace(seen, shortest=shortest, longest=longest)
    if seen.kind in {Kind.BOOLEAN, Kind.OTHER}:
        return seen
    least, most = _one(data, [sa.func.min(name), sa.func.max(name)])
    mean = _one(data, [sa.func.avg(name)])[0] if seen.kind.numeric else None
    if kind_of_values([v for v in (least, most) if v is not None]) is Kind.OTHER:
        return seen  # a database that lets any column hold anything
    return replace(seen, least=least, most=most, mean=None if mean is None else float(mean))


def _with_domain(data: TableData, column: TableColumn, seen: ColumnSeen) -> ColumnSeen:
    import sqlalchemy as sa

    plain = seen.kind in {Kind.TEXT, Kind.INTEGER, Kind.BOOLEAN}
    if not plain or not 0 < len(seen.counts) <= MOST_VALUES:
        return seen
    statement = (
        sa.select(column.sql, sa.func.count())
        .select_from(data.relation)
        .where(column.sql.is_not(None))
        .group_by(column.sql)
        .limit(MOST_VALUES + 1)
    )
    found = {value: int(count) for value, count in data.rows(statement)}
    alike = len(found) <= MOST_VALUES and kind_of_values(list(found)) is seen.kind
    return replace(seen, domain=found if alike else None)
