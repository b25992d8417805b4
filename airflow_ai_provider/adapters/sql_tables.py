"""Data in a database, through SQLAlchemy: a table or a query that stays where it is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow_ai_provider.adapters.deadline import deadline
from airflow_ai_provider.core.errors import DatabaseLostError, DataReadError
from airflow_ai_provider.core.quality.database.check import TableColumn
from airflow_ai_provider.core.quality.database.dialect import Dialect, dialect_of

_TIMED_OUT = "57014"  # PostgreSQL's query_canceled


class StatementRefusedError(Exception):
    """The database refuses a statement, by what it says rather than by its state."""


@dataclass(frozen=True, kw_only=True)
class SqlSource:
    """A table, or the result of a query, behind a SQLAlchemy URL.

    ``shown_as`` is what reports and records call the database, without user or password; made of
    the URL when it is not given.
    """

    url: str
    table: str | None = None
    schema: str | None = None
    query: str | None = None
    shown_as: str | None = None

    def __repr__(self) -> str:
        """Show where it is, never the password."""
        return f"SqlSource({self.address!r})"

    @property
    def address(self) -> str:
        """The URI of the data: host, database and table, or the query's digest; no password."""
        from sqlalchemy.engine import make_url

        if self.shown_as:
            place = self.shown_as
        else:
            url = make_url(self.url)
            host = f"{url.host or ''}{f':{url.port}' if url.port else ''}"
            place = f"{url.get_backend_name()}://{host}/{(url.database or '').lstrip('/')}"
        if self.table:
            return f"{place}/{f'{self.schema}.' if self.schema else ''}{self.table}"
        return f"{place}?query={self.query_digest[:16] if self.query_digest else ''}"

    @property
    def query_digest(self) -> str | None:
        """SHA-256 of the query's text."""
        return None if self.query is None else hashlib.sha256(self.query.encode()).hexdigest()


class TableData:
    """One open table or query; on PostgreSQL every statement sees the same snapshot."""

    def __init__(
        self,
        connection: Any,
        source: SqlSource,
        *,
        time_limit: float,
        moment: tuple[str, str | None],
    ) -> None:
        self._connection = connection
        self.source = source
        self._time_limit = time_limit
        self.looked_at, self.snapshot = moment
        self.dialect: Dialect = dialect_of(connection.engine.dialect.name)
        self.columns, self.relation = _relation(connection, source, time_limit)

    def rows(self, statement: Any) -> list[tuple[Any, ...]]:
        """Return the rows of ``statement``.

        :raises StatementRefusedError: the database understands it otherwise, or not at all.
        :raises DataReadError: the connection is lost, or the time is up.
        """
        with _reading(self._connection, self.source, self._time_limit):
            return [tuple(row) for row in self._connection.execute(statement).fetchall()]

    def stream(self, statement: Any, size: int) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Yield the rows of ``statement`` in blocks of ``size``, never all at once."""
        with _reading(self._connection, self.source, self._time_limit):
            options = {"stream_results": True, "max_row_buffer": size}
            answer = self._connection.execute(statement, execution_options=options)
            for block in answer.partitions(size):
                yield [tuple(row) for row in block]


@contextmanager
def open_table(source: SqlSource, *, time_limit: float) -> Iterator[TableData]:
    """Open ``source`` for reading.

    :raises DataReadError: the database cannot be reached, or there is no such table.
    """
    import sqlalchemy as sa

    if (source.table is None) is (source.query is None):
        raise _unreadable(source, "it names no table, or a query beside it", "Name one of the two.")
    try:
        engine = sa.create_engine(source.url, poolclass=sa.pool.NullPool)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
        raise _unreadable(
            source, _said(error), "Install its driver, or correct the URL."
        ) from error
    with _connected(engine, source) as connection:
        moment = _moment(connection, time_limit)
        yield TableData(connection, source, time_limit=time_limit, moment=moment)


@contextmanager
def _connected(engine: Any, source: SqlSource) -> Iterator[Any]:
    import sqlalchemy as sa

    try:
        connection = engine.connect()
    except sa.exc.OperationalError as error:
        raise _lost_error(source, error) from error
    except sa.exc.SQLAlchemyError as error:
        raise _unreadable(source, _said(error), "Check the connection.") from error
    try:
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        yield connection
    finally:
        with suppress(sa.exc.SQLAlchemyError):  # it went away before: the reason is raised already
            connection.close()
        engine.dispose()


def _moment(connection: Any, time_limit: float) -> tuple[str, str | None]:
    """Return when the data is looked at, and PostgreSQL's name of the snapshot."""
    import sqlalchemy as sa

    if connection.engine.dialect.name != "postgresql":
        return datetime.now(timezone.utc).isoformat(), None
    milliseconds = max(1, int(time_limit * 1000))
    connection.execute(sa.text(f"SET LOCAL statement_timeout = {milliseconds}"))
    asked = sa.text("SELECT transaction_timestamp(), pg_current_snapshot()::text")
    moment, snapshot = connection.execute(asked).one()
    return moment.astimezone(timezone.utc).isoformat(), snapshot


def _relation(
    connection: Any, source: SqlSource, time_limit: float
) -> tuple[tuple[TableColumn, ...], Any]:
    """Return the columns, and what a statement selects from."""
    import sqlalchemy as sa

    if source.query is not None:
        return _query(connection, source, time_limit)
    dialect = connection.engine.dialect
    try:
        found = sa.inspect(connection).get_columns(source.table, schema=source.schema)
    except sa.exc.NoSuchTableError as error:
        raise _unreadable(source, "there is no such table", "Check its name and schema.") from error
    except sa.exc.DBAPIError as error:
        raise _unreadable(source, _said(error), "Check the connection.") from error
    columns = tuple(
        TableColumn(name=str(c["name"]), type=_type_name(c["type"], dialect), native=c["type"])
        for c in found
    )
    if not columns:
        raise _unreadable(source, "there is no such table", "Check its name and schema.")
    return columns, sa.table(
        str(source.table), *(sa.column(c.name) for c in columns), schema=source.schema
    )


def _type_name(native: Any, dialect: Any) -> str | None:
    import sqlalchemy as sa

    try:
        return str(native.compile(dialect=dialect))
    except sa.exc.CompileError:  # a type that SQLAlchemy does not know
        return None


def _query(
    connection: Any, source: SqlSource, time_limit: float
) -> tuple[tuple[TableColumn, ...], Any]:
    import sqlalchemy as sa

    written = str(source.query).strip().rstrip(";")
    escaped = re.sub(r"(?<![:\\]):(?=\w)", r"\:", written)  # a colon here binds nothing
    nothing = sa.select(sa.text("*")).select_from(sa.text(f"({escaped}\n) AS data"))
    try:
        with _reading(connection, source, time_limit):
            answer = connection.execute(nothing.where(sa.text("1 = 0")))
            names, natives = list(answer.keys()), _natives(answer.cursor)
            shown = _shown_types(connection, answer.cursor)
    except StatementRefusedError as error:
        raise _unreadable(
            source, f"the database refuses the query: {error}", "Correct it."
        ) from error
    if len(set(names)) < len(names):
        raise _unreadable(source, "two columns have the same name", "Name them with AS.")
    columns = tuple(
        TableColumn(name=str(name), native=native, shown_type=type_)
        for name, native, type_ in zip(names, natives, shown, strict=True)
    )
    relation = sa.text(escaped + "\n").columns(*(sa.column(n) for n in names)).subquery("data")
    return columns, relation


def _natives(cursor: Any) -> list[Any]:
    """Return the kinds of a query's columns, where PostgreSQL's driver tells them; else None."""
    import sqlalchemy as sa

    kinds = {
        **dict.fromkeys((20, 21, 23), sa.Integer()),
        **dict.fromkeys((700, 701, 1700), sa.Numeric()),
        **dict.fromkeys((25, 1042, 1043), sa.String()),
    }
    return [kinds.get(column[1]) for column in cursor.description]


def _shown_types(connection: Any, cursor: Any) -> list[str | None]:
    """Return how PostgreSQL names the types of a query's columns; other databases do not tell."""
    import sqlalchemy as sa

    codes = [column[1] for column in cursor.description]
    if connection.engine.dialect.name != "postgresql":
        return [None] * len(codes)
    asked = sa.text(
        "SELECT oid::bigint, format_type(oid, NULL) FROM pg_type WHERE oid = ANY(:codes)"
    )
    named = {int(oid): str(name) for oid, name in connection.execute(asked, {"codes": codes})}
    return [named.get(code) for code in codes]


@contextmanager
def _reading(connection: Any, source: SqlSource, time_limit: float) -> Iterator[None]:
    """Tell a statement that is refused from a database that is lost.

    On PostgreSQL a savepoint keeps the snapshot when a statement is refused.
    """
    import sqlalchemy as sa

    kept = None
    try:
        if connection.engine.dialect.name == "postgresql":
            kept = connection.begin_nested()
        # PostgreSQL stops itself; the alarm is for a server that no longer answers
        patience = time_limit + 5 if kept is not None else time_limit
        with deadline(patience, _late(source, time_limit)):
            yield
        if kept is not None:
            kept.commit()
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _TIMED_OUT:
            raise _late(source, time_limit) from error
        if _lost(connection, error):
            raise _lost_error(source, error) from error
        if kept is not None:
            kept.rollback()
        raise StatementRefusedError(_said(error)) from error
    except sa.exc.SQLAlchemyError as error:
        raise StatementRefusedError(_said(error)) from error


def _lost(connection: Any, error: Any) -> bool:
    import sqlalchemy as sa

    if error.connection_invalidated or connection.invalidated:
        return True
    # SQLite says "operational" of a wrong statement too; of a lost file it says so
    if connection.engine.dialect.name == "sqlite":
        return any(w in str(error.orig) for w in ("disk", "malformed", "not a database", "locked"))
    return isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError))


def _late(source: SqlSource, time_limit: float) -> DataReadError:
    return _unreadable(
        source,
        f"a statement took longer than {time_limit:g} seconds",
        "Look for a regular expression that runs forever, or raise time_limit.",
    )


def _said(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())[:300]


def _lost_error(source: SqlSource, error: Any) -> DatabaseLostError:
    return DatabaseLostError(
        f"Cannot read {source.address}: the connection to the database was lost or refused: "
        f"{_said(error).rstrip('.')}.",
        remedy="Check the connection, and try again.",
        path=source.address,
    )


def _unreadable(source: SqlSource, why: str, remedy: str) -> DataReadError:
    return DataReadError(
        f"Cannot read {source.address}: {why.rstrip('.')}.", remedy=remedy, path=source.address
    )
