"""Feedback as lines of text (``core.feedback.lines``): the database writes, Python hands on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.lines import BETWEEN
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_writing import as_sqlalchemys
from airflow_ai_provider.store.schema import feedback

_PIECE, _BYTES = 5_000, 2**20
_AS_WRITTEN = (  # however the database and the user were set up
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL extra_float_digits = 1",  # numbers are read back as they are
)
# no field holds a control character, so nothing is quoted
_FORM = f"FORMAT csv, DELIMITER E'\\x{ord(BETWEEN):02x}', NULL '', QUOTE E'\\x01', ENCODING 'UTF8'"

Conditions = Collection[sa.ColumnElement[bool]]


def lines(store: Store, fields: Collection[str], conditions: Conditions) -> Iterator[bytes]:
    """Yield a line for each record under ``conditions``, in pieces of many whole lines."""
    columns = [feedback.c[name] for name in fields]
    with store.read() as connection:
        if store.is_sqlite:
            yield from _printed(connection, columns, conditions)
        else:
            yield from _copied(connection, columns, conditions)


def _printed(
    connection: sa.Connection, columns: Sequence[sa.Column[Any]], conditions: Conditions
) -> Iterator[bytes]:
    form = BETWEEN.join("%s" for _ in columns) + "\n"  # null is printed as nothing
    line = sa.func.printf(form, *map(_exact, columns))
    cursor: Any = connection.execute(sa.select(line).where(*conditions)).cursor
    while rows := cursor.fetchmany(_PIECE):  # SQLAlchemy's rows take twice as long
        yield "".join([row[0] for row in rows]).encode()


def _exact(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Return what SQLite prints a number by that is to be read back as it is."""
    if not isinstance(column.type, sa.Float):
        return column
    return sa.case((column.is_not(None), sa.func.quote(column)))


def _copied(
    connection: sa.Connection, columns: Sequence[sa.Column[Any]], conditions: Conditions
) -> Iterator[bytes]:
    for setting in _AS_WRITTEN:
        connection.exec_driver_sql(setting)
    found = sa.select(*columns).where(*conditions).compile(dialect=connection.dialect)
    driver: Any = connection.connection.driver_connection
    with (
        as_sqlalchemys(connection),
        driver.cursor() as cursor,
        cursor.copy(f"COPY ({found.string}) TO STDOUT WITH ({_FORM})", found.params) as copy,
    ):
        piece = bytearray()
        for row in copy:
            piece += row
            if len(piece) > _BYTES:
                yield bytes(piece)
                piece.clear()
        yield bytes(piece)
