"""Feedback as lines of text (``core.feedback.lines``): the database writes, Python hands on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.lines import BETWEEN
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_writing import as_sqlalchemys
from airflow_ai_provider.store.schema import feedback

_PIECE = 50_000
_AS_WRITTEN = (  # however the server and the user were set up
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL extra_float_digits = 1",  # numbers come back as they are
    "SET LOCAL cursor_tuple_fraction = 1",  # every row is read
)


def lines(
    store: Store, fields: Collection[str], conditions: Collection[sa.ColumnElement[bool]]
) -> Iterator[bytes]:
    """Yield a line for each record under ``conditions``, in pieces of many whole lines."""
    columns = [feedback.c[name] for name in fields]
    with store.read() as connection:
        opened = _on_sqlite if store.is_sqlite else _on_server
        with opened(connection, columns, conditions) as cursor:
            while rows := cursor.fetchmany(_PIECE):  # SQLAlchemy's rows take twice as long
                yield "".join([row[0] for row in rows]).encode()


@contextmanager
def _on_sqlite(
    connection: sa.Connection,
    columns: Sequence[sa.Column[Any]],
    conditions: Collection[sa.ColumnElement[bool]],
) -> Iterator[Any]:
    yield connection.execute(sa.select(_printed(columns)).where(*conditions)).cursor


@contextmanager
def _on_server(
    connection: sa.Connection,
    columns: Sequence[sa.Column[Any]],
    conditions: Collection[sa.ColumnElement[bool]],
) -> Iterator[Any]:
    for setting in _AS_WRITTEN:
        connection.exec_driver_sql(setting)
    found = sa.select(_concatenated(columns)).where(*conditions).compile(dialect=connection.dialect)
    driver: Any = connection.connection.driver_connection
    with as_sqlalchemys(connection), driver.cursor(name="lines") as cursor:
        cursor.execute(found.string, found.params)
        yield cursor


def _printed(columns: Sequence[sa.Column[Any]]) -> sa.ColumnElement[str]:
    form = BETWEEN.join("%s" for _ in columns) + "\n"  # null is printed as nothing
    return sa.func.printf(form, *(_exact(column) for column in columns))


def _exact(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Return what SQLite prints a number by that is to be read back as it is."""
    if not isinstance(column.type, sa.Float):
        return column
    return sa.case((column.is_not(None), sa.func.quote(column)))


def _concatenated(columns: Sequence[sa.Column[Any]]) -> sa.ColumnElement[str]:
    parts: list[Any] = []
    for column in columns:
        parts += [BETWEEN, column]
    return sa.func.concat(*parts[1:], "\n")
