"""Many records at once into a table of SQLite whose indexes would cost more than the rows.

An index filled row by row, in an order that is not its own, costs twice what the rows do; made
once all are there, a quarter. So once a batch has added as many rows as there were before it, the
indexes go, in the transaction of the batch, and are made again at its end: what that costs is then
in proportion to what the batch adds. Readers see the table as it was until the commit, and a
process that is killed leaves it so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.quick import Row

MANY = 10_000  # fewer are not worth it
_CACHE_KIB = 128 * 1024


def insert_into_sqlite(
    connection: sa.Connection,
    table: sa.Table,
    columns: Sequence[str],
    pieces: Iterable[Sequence[Row]],
    batch: int,
    *,
    many: int | None = MANY,
) -> int:
    """Insert into ``table`` the rows that are not there yet; return how many were offered.

    The table has one unique index besides its primary key, ``sequence``, and rows that it holds to
    be the same leave the first. The indexes are done without from ``many`` rows on; None is never.
    """
    names = ", ".join(f'"{name}"' for name in columns)
    marks = ", ".join("?" * len(columns))
    # handed to the driver as it stands: per-row type processing would cost more than the insert
    insert = f"INSERT INTO {table.name} ({names}, batch_id) VALUES ({marks}, {int(batch)})"  # noqa: S608
    offered = added = 0
    turn = _turn(connection, table, many)
    pieces = iter(pieces)
    with _roomy(connection):
        for piece in pieces:
            if added >= turn:
                with _without_indexes(connection, table):
                    for rest in chain([piece], pieces):
                        offered += _insert(connection, insert, rest)[0]
                break
            found = _insert(connection, f"{insert} ON CONFLICT DO NOTHING", piece)
            offered, added = offered + found[0], added + found[1]
    return offered


def _turn(connection: sa.Connection, table: sa.Table, many: int | None) -> float:
    """Return how many rows a batch has to add before the indexes are worth more than they cost."""
    if many is None:
        return float("inf")
    there = connection.execute(sa.select(sa.func.max(table.c.sequence))).scalar_one()
    return max(many, there or 0)


def _insert(connection: sa.Connection, statement: str, piece: Sequence[Row]) -> tuple[int, int]:
    if not piece:
        return 0, 0
    return len(piece), connection.exec_driver_sql(statement, list(piece)).rowcount


@contextmanager
def _without_indexes(connection: sa.Connection, table: sa.Table) -> Iterator[None]:
    indexes = sorted(table.indexes, key=lambda index: not index.unique)
    for index in indexes:
        index.drop(connection)
    yield
    for index in indexes:
        _make(connection, table, index)


def _make(connection: sa.Connection, table: sa.Table, index: sa.Index) -> None:
    try:
        index.create(connection)
    except sa.exc.IntegrityError:  # the batch repeats itself, or what was there
        first = sa.select(sa.func.min(table.c.sequence)).group_by(*index.columns)
        connection.execute(table.delete().where(table.c.sequence.not_in(first)))
        index.create(connection)


@contextmanager
def _roomy(connection: sa.Connection) -> Iterator[None]:
    """Give SQLite room for the pages of the index, whose order is not that of the rows."""
    before = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    connection.exec_driver_sql(f"PRAGMA cache_size = -{_CACHE_KIB}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA cache_size = {int(before)}")
