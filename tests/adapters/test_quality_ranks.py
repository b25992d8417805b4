"""Quantiles of long columns, taken from between two values of a sample, are the exact ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_ai_provider.adapters.duckdb import DuckDBData, open_data
from airflow_ai_provider.core.quality.check import Outcome, Schema
from airflow_ai_provider.core.quality.compiler import Plan
from airflow_ai_provider.core.quality.filters import rows_of
from airflow_ai_provider.core.quality.ordered import column_quantiles
from airflow_ai_provider.core.quality.ranks import brackets, ranked
from airflow_ai_provider.core.quality.suite import parse_suite
from airflow_ai_provider.services.quality_look import Look

VALUE = st.one_of(st.none(), st.integers(-3, 3), st.integers(-(10**6), 10**6))
QUANTILES = st.lists(st.one_of(st.sampled_from([0, 0.5, 1]), st.floats(0, 1)), min_size=1)


def quantiles_of(path: Path, quantiles: list[float], *, held: int, **more: Any) -> Outcome:
    """Return what the compiled form says where an aggregate may hold ``held`` values."""
    ranges = {"quantiles": quantiles, "value_ranges": [[None, None]] * len(quantiles)}
    kwargs = {"column": "v", "quantile_ranges": ranges, **more}
    entry = {"type": "expect_column_quantile_values_to_be_between", "kwargs": kwargs}
    suite = parse_suite({"name": "s", "expectations": [entry]})
    [expectation] = suite.expectations
    with open_data(path) as data:
        schema = Schema(suite=suite, columns=data.columns, count=data.count, held=held)
        rows, _ = rows_of(expectation, schema)
        check = column_quantiles(
            expectation,
            Schema(suite=suite, columns=data.columns, rows=rows, count=data.count, held=held),
        )
        return check.judge(_facts(data, Plan(checks=(check,), leftovers=()), suite))


def _facts(data: DuckDBData, plan: Plan, suite: Any) -> dict[str, Any]:
    return Look(suite, data).facts(plan)


def write(path: Path, values: list[Any], kind: str) -> Path:
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t (v {kind})")
        if values:
            connection.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    return path


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(VALUE, max_size=40), QUANTILES, st.sampled_from(["BIGINT", "INTEGER", "DOUBLE"]))
def test_they_are_the_values_at_their_places(
    tmp_path: Path, values: list[int | None], quantiles: list[float], kind: str
) -> None:
    path = write(tmp_path / "data.parquet", values, kind)
    found = quantiles_of(path, quantiles, held=0).result
    assert found is not None
    there = sorted(value for value in values if value is not None)
    wanted = [there[round((len(there) - 1) * q)] if there else None for q in quantiles]
    assert found["observed_value"]["values"] == wanted


def test_a_million_are_not_held(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT CASE WHEN i % 10 > 0 THEN (i * 7919 % 1000003)::DOUBLE END AS v "
            f"FROM range(1000000) AS r(i)) TO '{path}' (FORMAT parquet)"
        )
    quantiles = [0, 0.001, 0.25, 0.5, 0.99, 1]
    assert quantiles_of(path, quantiles, held=1000) == quantiles_of(path, quantiles, held=10**7)
    some = {"row_condition": "v < 500000", "condition_parser": "pandas"}
    assert quantiles_of(path, quantiles, held=1000, **some) == quantiles_of(
        path, quantiles, held=10**7, **some
    )


@pytest.mark.parametrize("row", [(6, 3), (0, 5), (5, 0)])
def test_a_wrong_sample_is_noticed(row: tuple[int, int]) -> None:
    within = brackets([0.5], [2.0, 3.0])
    assert within == [(2.0, 3.0)]
    assert ranked("v", within, [5], row) is None
    assert ranked("v", within, [5], (5, 1)) is not None
