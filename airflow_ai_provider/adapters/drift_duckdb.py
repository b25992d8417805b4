"""The columns of data files, read for a comparison: numbers as arrays, categories counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.quality.check import RELATION
from airflow_ai_provider.core.quality.drift.categories import MOST, Categories
from airflow_ai_provider.core.quality.drift.columns import (
    ColumnValues,
    NotOfKindError,
    Values,
    kind_of,
)
from airflow_ai_provider.core.quality.drift.measures import Kind
from airflow_ai_provider.core.quality.drift.numbers import Sample
from airflow_ai_provider.core.quality.sql import Column

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.duckdb import DuckDBData
    from airflow_ai_provider.core.quality.personal.tally import Finding

_WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
_CLOCKED = ("TIME", "INTERVAL", "DATE")


class DuckDBColumns:
    """The columns of open data, each read by one statement when it is asked for.

    A column of numbers takes 8 bytes a row while it is compared, and is then let go. An infinite
    time counts as missing.
    """

    def __init__(self, data: DuckDBData) -> None:
        self._data = data
        self._columns = {column.name: column for column in data.columns}
        self._rows: int | None = None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        if self._rows is None:
            self._rows = int(self._data.row(f"SELECT count(*) FROM {RELATION}")[0])  # noqa: S608
        return self._rows

    @property
    def types(self) -> Mapping[str, str]:
        """DuckDB's type of each column, in the data's order."""
        return {name: column.type for name, column in self._columns.items()}

    def look_ahead(self, names: Sequence[str]) -> None:
        """Do nothing: a file's column is read alone, and let go."""

    def column(
        self, name: str, kind: Kind | None = None, *, like: Values | None = None
    ) -> ColumnValues:
        """Return the values of column ``name`` as ``kind`` (its type's unless said).

        A column without any value is of whatever kind is asked for.

        :raises NotOfKindError: they are not of this kind.
        :raises DataReadError: the data cannot be read.
        """
        column = self._columns[name]
        own = kind_of(column.type)
        wanted = kind or own
        if wanted is Kind.CATEGORY:
            kept = like.counts if isinstance(like, Categories) else {}
            values: Any = Categories.of(self._groups(column), among=kept)
        elif wanted is own:
            values = Sample.of(self._numbers(column))
        elif self._is_empty(column):
            values = Sample.of(self._nothing())
        else:
            raise NotOfKindError(
                f"it is {column.type} now, and the reference's values are {wanted.value}s"
            )
        return ColumnValues(name=name, type=column.type, kind=wanted, rows=self.rows, values=values)

    def _numbers(self, column: Column) -> Any:
        read = column.sql
        if column.type.upper().startswith(("TIMESTAMP", *_CLOCKED)):
            zoned = column.type.upper() == "TIMESTAMP WITH TIME ZONE"  # its epoch() is not rounded
            read = f"epoch_us({read}) / 1e6" if zoned else f"epoch({read})"
        elif column.type.upper() not in _WHOLE:
            read = f"CAST({read} AS DOUBLE)"
        statement = f"SELECT {read} AS v FROM {RELATION} WHERE {read} IS NOT NULL"  # noqa: S608
        return self._data.arrays(statement)["v"]

    def _nothing(self) -> Any:
        import numpy as np

        return np.zeros(0)

    def _is_empty(self, column: Column) -> bool:
        return not self._data.row(f"SELECT count({column.sql}) FROM {RELATION}")[0]  # noqa: S608

    def _groups(self, column: Column) -> Iterator[tuple[str, int]]:
        """Yield each category with its rows, the most frequent first."""
        read = column.sql if column.type.upper() == "VARCHAR" else f"CAST({column.sql} AS VARCHAR)"
        statement = (
            f"SELECT {read}, count(*) FROM {RELATION} WHERE {column.sql} IS NOT NULL "  # noqa: S608
            "GROUP BY 1 ORDER BY 2 DESC, 1"
        )
        for value, rows in self._data.stream(statement, size=MOST):
            yield str(value), int(rows)


class DuckDBLooked:
    """Open files as our own expectations ask them: columns, the newest time, when written."""

    def __init__(self, data: DuckDBData) -> None:
        self._data = data
        self.columns = DuckDBColumns(data)

    def newest(self, column: str) -> float | None:
        """Return the newest time of ``column`` in seconds since 1970; None of none.

        :raises NotOfKindError: the column holds no times.
        """
        found = next(c for c in self._data.columns if c.name == column)
        if kind_of(found.type) is not Kind.TIME:
            raise NotOfKindError(f"{column} is {found.type}")
        statement = f"SELECT max(epoch({found.sql})) FROM {RELATION}"  # noqa: S608
        newest = self._data.row(statement)[0]
        return None if newest is None else float(newest)

    def modified(self) -> float | None:
        """Return when the newest file was written; a copy of unknown age has the time 0."""
        return max(changed for _, changed in self._data.on_disk.stamps) / 1e9

    def personal(self, columns: Sequence[str], kinds: Sequence[str]) -> Sequence[Finding]:
        """Return the personal data of ``kinds`` in ``columns``; every row is looked at."""
        from airflow_ai_provider.adapters.personal_duckdb import scan
        from airflow_ai_provider.core.quality.personal.kinds import BY_NAME

        return scan(self._data, columns, [BY_NAME[kind] for kind in kinds])
