"""A table as our own expectations ask it: its columns, and the newest time of one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timezone
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.adapters.table_columns import TableColumns
from airflow_ai_provider.core.errors import QualityError
from airflow_ai_provider.core.quality.drift.columns import NotOfKindError

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.sql_tables import TableData
    from airflow_ai_provider.core.quality.personal.tally import Finding


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
