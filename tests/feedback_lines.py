"""What is said of predictions as lines, and what whoever reads them finds in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb

from airflow_ai_provider.adapters.prediction_reading import load_lines
from airflow_ai_provider.core.feedback.lines import BETWEEN


def lines_of(*rows: tuple[Any, ...]) -> list[bytes]:
    texts = (BETWEEN.join("" if value is None else str(value) for value in row) for row in rows)
    return [f"{text}\n".encode() for text in texts]


def rows_of(fields: Mapping[str, str], pieces: Iterable[bytes]) -> list[tuple[Any, ...]]:
    """Return the rows that DuckDB reads; a moment is told in microseconds since 1970."""
    named = ("epoch_us(observed_at)" if name == "observed_at" else name for name in fields)
    with duckdb.connect() as connection:
        load_lines(connection, "found", fields, pieces)
        return connection.execute(f"SELECT {', '.join(named)} FROM found").fetchall()
