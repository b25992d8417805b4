"""What drift is measured on, opened: files, or a table that stays in its database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_ai_provider.core.quality.drift.columns import Source
from airflow_ai_provider.core.quality.result import DataSeen

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.sql_tables import SqlSource


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Open data: its columns, and exactly which data they are of."""

    source: Source
    seen: DataSeen


@contextmanager
def open_source(
    data: str | os.PathLike[str] | SqlSource,
    *,
    shown_as: str | None = None,
    memory_limit: str | None = None,
    time_limit: float,
) -> Iterator[Opened]:
    """Open files by their path, or a table or query by where it is.

    :raises DataReadError: it is absent, cut short or malformed, or changed meanwhile.
    :raises DatabaseLostError: the connection to the database was lost.
    """
    if not isinstance(data, (str, os.PathLike)):
        with _open_table(data, time_limit) as table:
            yield table
        return
    from airflow_ai_provider.adapters.drift_duckdb import DuckDBColumns
    from airflow_ai_provider.adapters.duckdb import open_data

    with open_data(data, memory_limit=memory_limit) as opened:
        source, files = DuckDBColumns(opened), opened.on_disk
        seen = DataSeen(
            path=shown_as or files.path,
            size=files.size,
            digest=files.digest,
            rows=source.rows,
            files=len(files.files),
        )
        yield Opened(source=source, seen=seen)
        opened.files.need_unchanged()


@contextmanager
def _open_table(data: SqlSource, time_limit: float) -> Iterator[Opened]:
    from airflow_ai_provider.adapters.sql_tables import StatementRefusedError, open_table
    from airflow_ai_provider.adapters.table_columns import TableColumns
    from airflow_ai_provider.core.errors import DataReadError

    with open_table(data, time_limit=time_limit) as opened:
        source = TableColumns(opened)
        try:
            rows = source.rows
        except StatementRefusedError as error:
            raise DataReadError(
                f"Cannot read {data.address}: {error}.",
                remedy="Check its name and what the user may read.",
                path=data.address,
            ) from error
        seen = DataSeen(
            path=data.address,
            rows=rows,
            kind="query" if data.query is not None else "table",
            looked_at=opened.looked_at,
            snapshot=opened.snapshot,
            query_digest=data.query_digest,
        )
        yield Opened(source=source, seen=seen)
