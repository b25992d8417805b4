"""Rows that come from elsewhere, written as Parquet by DuckDB, block by block."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.duckdb import copy_to_parquet
from airflow_ai_provider.core.errors import DataReadError
from airflow_ai_provider.core.quality.sql import identifier

_OF_VALUES: tuple[tuple[type, str], ...] = (
    (bool, "BOOLEAN"),
    (int, "BIGINT"),
    (float, "DOUBLE"),
    (Decimal, "DECIMAL(38,10)"),
    (datetime, "TIMESTAMP"),
    (date, "DATE"),
    (bytes, "BLOB"),
    (list, "VARCHAR[]"),
)

Block = Sequence[tuple[Any, ...]]


def write_rows(names: Sequence[str], blocks: Iterable[Block], target: Path, *, lists: str) -> int:
    """Write rows with the columns ``names`` to ``target``; return how many.

    A column's type is that of its first values; texts where it has none, or of a kind that
    Parquet lacks. ``lists`` names the column that holds lists of text. The file appears when it
    is whole.

    :raises DataReadError: a column changes its kind half way.
    """
    import duckdb

    with tempfile.TemporaryDirectory(prefix="airflow-ai-") as folder:
        connection = duckdb.connect(f"{folder}/rows.duckdb")
        try:
            types: list[str] = []
            for block in blocks:
                if not types:
                    types = [_type(name, i, block, lists) for i, name in enumerate(names)]
                    _create(connection, names, types)
                _insert(connection, types, block)
            if not types:
                _create(
                    connection, names, ["VARCHAR[]" if n == lists else "VARCHAR" for n in names]
                )
            return copy_to_parquet(connection, "SELECT * FROM kept", target)
        except (duckdb.ConversionException, duckdb.InvalidInputException) as error:
            raise DataReadError(
                f"Cannot write rows to {target}: a column changes its kind half way: "
                f"{str(error).splitlines()[0][:200]}.",
                remedy="Cast the column in a query.",
                path=str(target),
            ) from error
        finally:
            connection.close()


def _create(connection: Any, names: Sequence[str], types: Sequence[str]) -> None:
    columns = ", ".join(f"{identifier(n)} {t}" for n, t in zip(names, types, strict=True))
    connection.execute(f"CREATE TABLE kept ({columns})")


def _insert(connection: Any, types: Sequence[str], block: Block) -> None:
    values = [[_value(row[i], kind) for row in block] for i, kind in enumerate(types)]
    listed = ", ".join(f"unnest(?::{kind}[])" for kind in types)
    connection.execute(f"INSERT INTO kept SELECT {listed}", values)


def _type(name: str, place: int, block: Block, lists: str) -> str:
    if name == lists:
        return "VARCHAR[]"
    there = [row[place] for row in block if row[place] is not None]
    for kind, written in _OF_VALUES:
        if there and all(isinstance(v, kind) for v in there):
            zoned = kind is datetime and any(v.tzinfo is not None for v in there)
            return "TIMESTAMPTZ" if zoned else written
    numbers = there and all(isinstance(v, (int, float)) for v in there)
    return "DOUBLE" if numbers else "VARCHAR"


def _value(value: Any, kind: str) -> Any:
    if value is None or kind != "VARCHAR":
        return value
    return value if isinstance(value, str) else str(value)
