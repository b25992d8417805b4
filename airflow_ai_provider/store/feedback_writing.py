"""Many rows into one table, those that are there already left out, at the speed of the database.

SQLite takes them by one prepared statement (``feedback_bulk``); PostgreSQL by COPY into a staging
table of the transaction and one insert from there, a few as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.quick import Row
from airflow_ai_provider.store.feedback_bulk import MANY, insert_into_sqlite

_SPECIAL = {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}
FEW = 500


def insert_new(
    connection: sa.Connection,
    table: sa.Table,
    columns: Sequence[str],
    pieces: Iterable[Sequence[Row]],
    batch: int,
) -> int:
    """Insert into ``table`` the rows that are not there yet; return how many were offered.

    ``pieces`` hold values of ``columns``; ``batch`` becomes their ``batch_id``.
    """
    if connection.dialect.name == "postgresql":
        return _copy(connection, table, columns, pieces, batch)
    many = MANY if "sequence" in table.c else None
    return insert_into_sqlite(connection, table, columns, pieces, batch, many=many)


def _copy(
    connection: sa.Connection,
    table: sa.Table,
    columns: Sequence[str],
    pieces: Iterable[Sequence[Row]],
    batch: int,
) -> int:
    pieces = iter(pieces)
    head = list(islice(pieces, 2))
    if len(head) < 2 and sum(map(len, head)) <= FEW:  # tables of their own would cost more
        return insert_few(connection, table, columns, head[0] if head else (), batch)
    staging, names, offered = f"{table.name}_staging", listed(columns), 0
    connection.exec_driver_sql(
        f"CREATE TEMP TABLE {staging} ON COMMIT DROP AS"  # noqa: S608 - names of ours
        f" SELECT {names} FROM {table.name} WITH NO DATA"
    )
    with as_sqlalchemys(connection):
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor, cursor.copy(f"COPY {staging} FROM STDIN") as copy:
            for piece in chain(head, pieces):
                copy.write(copy_text(piece))
                offered += len(piece)
    # a temporary table is read in the order in which it was written, so arrival stays in order
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({names}, batch_id)"  # noqa: S608 - names of ours
        f" SELECT {names}, {int(batch)} FROM {staging} ON CONFLICT DO NOTHING"
    )
    return offered


def insert_few(
    connection: sa.Connection,
    table: sa.Table,
    columns: Sequence[str],
    rows: Sequence[Row],
    batch: int,
) -> int:
    """Insert into a table of PostgreSQL the rows that are not there yet; return how many came."""
    if rows:
        marks = ", ".join(["%s"] * len(columns))
        with as_sqlalchemys(connection):
            driver: Any = connection.connection.driver_connection
            with driver.cursor() as cursor:
                cursor.executemany(
                    f"INSERT INTO {table.name} ({listed(columns)}, batch_id)"  # noqa: S608 - ours
                    f" VALUES ({marks}, {int(batch)}) ON CONFLICT DO NOTHING",
                    rows,
                )
    return len(rows)


def copy_text(rows: Sequence[Row]) -> str:
    """Return ``rows`` in the text form that PostgreSQL's COPY reads."""
    if not rows:
        return ""
    nulls, columns = 0, []
    for column in zip(*rows, strict=True):
        missing = column.count(None)
        nulls += missing
        columns.append(_fields(column, missing))
    text = "\n".join(map("\t".join, zip(*columns, strict=True))) + "\n"
    if (
        text.count("\\") == nulls
        and text.count("\n") == len(rows)
        and text.count("\t") == len(rows) * (len(columns) - 1)
        and "\r" not in text
    ):
        return text  # what nearly every piece is: nothing in it means anything to COPY
    return "".join(
        "\t".join("\\N" if value is None else _field(value).translate(_SPECIAL) for value in row)
        + "\n"
        for row in rows
    )


def _fields(column: Sequence[Any], missing: int) -> Sequence[str]:
    """Return the values of a column as fields, ``missing`` of which there are not."""
    if missing == len(column):
        return ("\\N",) * missing
    kinds = set(map(type, column))
    if kinds == {str}:
        return column
    if kinds == {str, type(None)}:
        return ["\\N" if value is None else value for value in column]
    return ["\\N" if value is None else _field(value) for value in column]


def _field(value: Any) -> str:
    return value if type(value) is str else repr(value)


def listed(columns: Sequence[str]) -> str:
    """Return the columns as SQL lists them."""
    return ", ".join(f'"{name}"' for name in columns)


@contextmanager
def as_sqlalchemys(connection: sa.Connection) -> Iterator[None]:
    """Raise what the driver says as SQLAlchemy would have."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise sa.exc.DBAPIError.instance(
            "COPY", None, error, psycopg.Error, dialect=connection.dialect
        ) from error
