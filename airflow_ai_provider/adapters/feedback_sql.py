"""Feedback in a database: the rows of a table or a query, from a watermark on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from airflow_ai_provider.adapters.sql_tables import SqlSource
from airflow_ai_provider.core.errors import (
    FeedbackSourceError,
    FeedbackSourceLostError,
    in_one_line,
)
from airflow_ai_provider.core.feedback.source import Position, SourceRecord
from airflow_ai_provider.core.feedback.watermark import comparable, position_of, value_of

_PIECE = 5_000


class SqlFeedback:
    """Rows of a table or a query; ``watermark`` is a column that only grows.

    Each read begins at the last value that was seen, that value included: rows that share it are
    duplicates, none is missed. A row that is committed later under an earlier value would be:
    choose a column that is set on commit, or read without a watermark. Without one every read is
    of all rows.

    :param time_zone: the zone of moments that the database keeps without one.
    """

    def __init__(
        self, source: SqlSource, *, watermark: str | None = None, time_zone: str | None = None
    ) -> None:
        self._source, self._watermark = source, watermark
        self._zone = ZoneInfo(time_zone) if time_zone else None
        self._last: Any = None

    @property
    def name(self) -> str:
        """The table's or query's address, without user and password."""
        return self._source.address

    def read(self, position: Position | None) -> Iterator[SourceRecord]:
        """Yield the rows whose watermark is not before ``position``."""
        self._last = value_of(position) if position else None
        with self._connection() as connection:
            if self._last is not None:
                self._refuse_earlier(connection)
            options = {"stream_results": True, "max_row_buffer": _PIECE}
            answer = connection.execution_options(**options).execute(self._statement())
            names, number = list(answer.keys()), 0
            for rows in answer.partitions(_PIECE):
                for row in rows:
                    number += 1
                    yield self._record(number, dict(zip(names, row, strict=True)))

    def position(self) -> Position | None:
        """Return the greatest watermark that was seen."""
        return None if self._watermark is None or self._last is None else position_of(self._last)

    def _record(self, number: int, row: dict[str, Any]) -> SourceRecord:
        place = f"row {number}"
        if self._watermark is not None:
            found = row.get(self._watermark)
            if found is None:  # a condition on the watermark never finds it again
                return SourceRecord(place, row, None, f"its {self._watermark} is empty")
            place = f"{self._watermark} {found}, row {number}"[:100]
            self._last = found
        document = {name: self._zoned(value) for name, value in row.items()} if self._zone else row
        return SourceRecord(place, row, document)

    def _zoned(self, value: Any) -> Any:
        if isinstance(value, datetime) and value.tzinfo is None:
            return value.replace(tzinfo=self._zone)
        if isinstance(value, str) and 16 <= len(value) <= 32:
            try:
                found = datetime.fromisoformat(value)
            except ValueError:
                return value
            return found.replace(tzinfo=self._zone) if found.tzinfo is None else value
        return value

    def _relation(self) -> Any:
        import sqlalchemy as sa

        if self._source.query is not None:
            return sa.text(self._source.query).columns().subquery("feedback_query")
        return sa.table(str(self._source.table), schema=self._source.schema)

    def _statement(self) -> Any:
        import sqlalchemy as sa

        statement = sa.select(sa.text("*")).select_from(self._relation())
        if self._watermark is None:
            return statement
        column: Any = sa.column(self._watermark)
        if self._last is not None:
            # a row without a watermark is found by no comparison, and must not be lost
            statement = statement.where(sa.or_(column >= self._last, column.is_(None)))
        return statement.order_by(column)

    def _refuse_earlier(self, connection: Any) -> None:
        import sqlalchemy as sa

        column: Any = sa.column(str(self._watermark))
        statement = sa.select(sa.func.max(column)).select_from(self._relation())
        newest = connection.execute(statement).scalar_one_or_none()
        if newest is None or comparable(newest) < comparable(self._last):
            raise FeedbackSourceError(
                f"{self.name} went back: {self._watermark} was {self._last}, and the greatest that "
                f"is there is {newest}.",
                remedy="Rows that were read are gone, or its clock was set back: look at it, and "
                "read it once without the watermark.",
            )

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        import sqlalchemy as sa

        try:
            engine = sa.create_engine(self._source.url, poolclass=sa.pool.NullPool)
            with engine.connect() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            raise FeedbackSourceLostError(
                f"{self.name} cannot be read: {in_one_line(error.orig)}.",
                remedy="Check that the database is up and that it has this table.",
            ) from error
        except (sa.exc.SQLAlchemyError, ImportError, TypeError) as error:
            raise FeedbackSourceError(
                f"{self.name} cannot be read: {in_one_line(getattr(error, 'orig', error))}.",
                remedy="Check the table or the query, and the column of the watermark.",
            ) from error
