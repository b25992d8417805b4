"""A table as our own expectations ask it: how many rows, and the newest time of a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timezone
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import QualityError
from airflow_ai_provider.core.quality.drift.categories import Categories
from airflow_ai_provider.core.quality.drift.columns import ColumnValues, NotOfKindError
from airflow_ai_provider.core.quality.drift.measures import Kind

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.sql_tables import TableData
    from airflow_ai_provider.core.quality.personal.tally import Finding


class TableColumns:
    """The columns of a table by name; its values stay in the database."""

    def __init__(self, data: TableData, rows: int) -> None:
        self._data = data
        self._rows = rows

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self._rows

    @property
    def types(self) -> Mapping[str, str]:
        """The database's type of each column; empty where it does not tell."""
        return {column.name: str(column.type or "") for column in self._data.columns}

    def column(
        self, name: str, kind: Kind | None = None, *, among: Categories | None = None
    ) -> ColumnValues:
        """Refuse: a table's values are not pulled.

        :raises QualityError: always.
        """
        raise QualityError(
            f"The values of {self._data.source.address} are not pulled to be compared.",
            remedy="Export the table to Parquet first.",
        )


class TableLooked:
    """An open table with the number of rows that was seen in it."""

    def __init__(self, data: TableData, rows: int) -> None:
        self._data = data
        self.columns = TableColumns(data, rows)

    def newest(self, column: str) -> float | None:
        """Return the newest time of ``column`` in seconds since 1970; None of none.

        :raises NotOfKindError: the column holds no times.
        """
        import sqlalchemy as sa

        from airflow_ai_provider.adapters.sql_tables import StatementRefusedError

        statement: Any = sa.select(sa.func.max(sa.column(column))).select_from(self._data.relation)
        try:
            return _seconds(column, self._data.rows(statement)[0][0])
        except StatementRefusedError as error:
            raise NotOfKindError(str(error)) from error

    def personal(self, columns: Sequence[str], kinds: Sequence[str]) -> Sequence[Finding]:
        """Refuse: a table's values are not pulled.

        :raises QualityError: always.
        """
        raise QualityError(
            "The values of a table are not pulled to be searched for personal data.",
            remedy="Export the table to Parquet first.",
        )

    def modified(self) -> None:
        """Return None: when a table was last written nobody tells."""


def _seconds(column: str, newest: Any) -> float | None:
    """Return the time that a database's driver gives: SQLite's is ISO 8601 as text."""
    if newest is None:
        return None
    if isinstance(newest, str):
        try:
            newest = datetime.fromisoformat(newest.replace("Z", "+00:00"))
        except ValueError:
            raise NotOfKindError(f"{column} holds other text than times") from None
    if isinstance(newest, date) and not isinstance(newest, datetime):
        newest = datetime.combine(newest, time())
    if not isinstance(newest, datetime):
        raise NotOfKindError(f"{column} holds {type(newest).__name__}s")
    return (newest if newest.tzinfo else newest.replace(tzinfo=timezone.utc)).timestamp()
