"""Read feedback of several places as one: Delta tables, and rows from elsewhere beside them."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.delta import DeltaTable
from airflow_ai_provider.core.feedback.quick import Row

_NUMBERS = {"label_number": "DOUBLE", "value": "DOUBLE", "score": "DOUBLE"}
_KINDS = {**_NUMBERS, "sequence": "BIGINT", "observed_at": "TIMESTAMPTZ"}


@contextmanager
def reading(
    tables: Sequence[DeltaTable],
    columns: Sequence[str],
    rows: Iterable[Sequence[Row]] = (),
    *,
    must: Collection[str] = (),
) -> Iterator[Any]:
    """Yield a DuckDB connection in which ``feedback`` has ``columns`` of every revision.

    ``place`` tells where from: the tables in their order, then ``rows``. One statement may read
    it, and once: it is a stream. An address in ``must`` is
    that of a table which has to be there.

    :raises FeedbackSinkError: a table is not there or cannot be read.
    """
    import duckdb

    with tempfile.TemporaryDirectory(prefix="airflow-ai-") as folder, ExitStack() as stack:
        for table in tables:
            stack.enter_context(table.said(folder))
        connection = stack.enter_context(duckdb.connect(config={"temp_directory": folder}))
        parts = []
        for place, table in enumerate(tables):
            if _registered(connection, f"table{place}", table, columns, must=table.address in must):
                parts.append(_part(f"table{place}", columns, place))
        if _staged(connection, rows, columns, Path(folder) / "rows"):
            parts.append(_part("elsewhere", columns, len(tables)))
        connection.execute(
            f"CREATE VIEW feedback AS {' UNION ALL '.join(parts or [_none(columns)])}"
        )
        yield connection


def _registered(
    connection: Any, name: str, table: DeltaTable, columns: Sequence[str], *, must: bool
) -> bool:

    if must:
        table.check()
    found = table.snapshot()
    if found is None:
        return False
    connection.register(name, found.read(columns))
    return True


def _staged(
    connection: Any, rows: Iterable[Sequence[Row]], columns: Sequence[str], file: Path
) -> bool:
    """Make ``elsewhere`` of the rows, in an Arrow file that is mapped and not read into memory."""
    import pyarrow as pa

    kinds = {"DOUBLE": pa.float64(), "BIGINT": pa.int64(), "TIMESTAMPTZ": pa.timestamp("us", "UTC")}
    schema = pa.schema([(name, kinds.get(_kind(name), pa.string())) for name in columns])
    count = 0
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for piece in filter(None, rows):
            arrays = [
                pa.array(column, field.type)
                for column, field in zip(zip(*piece, strict=True), schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(piece)
    if count:
        connection.register("elsewhere", pa.ipc.open_file(pa.memory_map(str(file))).read_all())
    return count > 0


def _part(name: str, columns: Sequence[str], place: int) -> str:
    told = ", ".join(f'CAST("{column}" AS {_kind(column)}) AS "{column}"' for column in columns)
    return f"SELECT {told}, {place} AS place FROM {name}"  # noqa: S608 - names of ours


def _none(columns: Sequence[str]) -> str:
    told = ", ".join(f'CAST(NULL AS {_kind(column)}) AS "{column}"' for column in columns)
    return f"SELECT {told}, 0 AS place WHERE false"


def _kind(column: str) -> str:
    return _KINDS.get(column, "VARCHAR")
