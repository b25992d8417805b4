"""Data files for tests: good ones, and ones that are damaged in a named way."""

from __future__ import annotations

from pathlib import Path

import duckdb


def parquet(path: Path, rows: str = "SELECT range AS a FROM range(1000)") -> Path:
    """Write the rows of ``rows`` to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(f"COPY ({rows}) TO '{path}' (FORMAT parquet)")
    return path


def cut_short(path: Path) -> Path:
    """Write a Parquet file without its end."""
    path.write_bytes(parquet(path).read_bytes()[:-40])
    return path


def damaged_inside(path: Path) -> Path:
    """Write a Parquet file whose footer is whole and whose pages are not."""
    rows = "SELECT range AS id, random() AS amount FROM range(50000)"
    content = bytearray(parquet(path, rows).read_bytes())
    content[4:60000] = b"\0" * 59996
    path.write_bytes(content)
    return path


def written(path: Path, text: str) -> Path:
    """Write ``text``."""
    path.write_text(text)
    return path
