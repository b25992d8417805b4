"""Data that drifted and data that did not, and the gate that tells them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from airflow_ai_provider.operators.drift import DriftGateOperator
from airflow_ai_provider.services.drift import make_profile, write_profile


def write(path: Path, rows: int = 1_000, add: float = 0.0) -> str:
    """Write rows whose amounts are ``add`` from where they belong; return the path."""
    select = (
        f"SELECT i % 100 + {add} AS amount, ['a', 'b'][i % 2 + 1] AS kind FROM range({rows}) t(i)"
    )
    duckdb.connect().execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return str(path)


def profiled(folder: Path) -> str:
    """Write the profile of data that did not drift to ``folder``; return its path."""
    reference = write(folder / "reference.parquet")
    return str(write_profile(make_profile(reference), folder / "profile.json"))


def gate(**arguments: Any) -> DriftGateOperator:
    """Return the drift gate of a partition of ``orders``."""
    return DriftGateOperator(
        **{"task_id": "drift", "dataset": "orders", "partition": "1"} | arguments
    )
