"""Counting distinct values: in a bit for each possible value where those are few, else by hashing.

Integers that number things lie close together. A bit for each that may come takes a fifth of the
time that a hash table takes, and of ten million a megabyte instead of hundreds.
"""

from __future__ import annotations

from airflow_ai_provider.core.quality.check import Rows, Schema
from airflow_ai_provider.core.quality.sql import Column, Family

_MOST_BITS = 2**27  # 16 MiB, in each of DuckDB's threads
_SPARSEST = 64  # bits for each row: beyond that a hash table is as fast


def distinct_read(schema: Schema, column: Column) -> str:
    """Return the read that counts the distinct present values among the rows that count."""
    return bits_read(schema, column) or f"count(DISTINCT {schema.rows.of(column.sql)})"


def bits_read(schema: Schema, column: Column) -> str | None:
    """Return the read that does it in bits; None where there would be too many."""
    if column.family is not Family.INTEGER or not schema.count:
        return None
    extent = schema.extent(column)
    if extent is None:
        return None
    low, high = extent
    if high - low >= min(_MOST_BITS, _SPARSEST * schema.count):
        return None
    value = Rows(condition=schema.rows.condition).of(f"{column.sql}::BIGINT")
    return f"coalesce(bit_count(bitstring_agg({value}, ({low})::BIGINT, ({high})::BIGINT)), 0)"
