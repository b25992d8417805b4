"""The gate on frames in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_ai_provider.core.errors import DataReadError, SuiteError
from airflow_ai_provider.services.quality import check


def expect(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{kind}", "kwargs": kwargs}


def suite_of(*expectations: dict[str, Any]) -> dict[str, Any]:
    return {"name": "orders", "expectations": list(expectations)}


FRAME = pd.DataFrame(
    {
        "id": [1, 2, 2],
        "amount": [1.0, np.nan, 3.0],
        "place": ["EWR", None, "jfk"],
        "mixed": [1, "x", None],
        "kind": pd.Categorical(["a", "b", "a"]),
        "some": pd.array([1, None, 3], dtype="Int64"),
    },
    index=[7, 8, 9],
)
SUITE = suite_of(
    expect("column_values_to_be_unique", column="id"),
    expect("column_values_to_not_be_null", column="amount"),
    expect("column_values_to_match_regex", column="place", regex="^[A-Z]{3}$"),
)


class PolarsFrame:
    """As much of a polars frame as is used: polars itself is not needed for it."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.columns = table.column_names

    def to_arrow(self) -> pa.Table:
        return self._table

    def to_pandas(self) -> pd.DataFrame:
        return self._table.to_pandas()

    def write_ipc_stream(self, sink: Any) -> None:
        with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), self._table.schema) as stream:
            stream.write_table(self._table)


PolarsFrame.__module__ = "polars.dataframe.frame"
ARROW = pa.Table.from_pandas(FRAME[["id", "amount", "place"]], preserve_index=False)


@pytest.mark.parametrize(
    "frame", [FRAME, ARROW, PolarsFrame(ARROW)], ids=["pandas", "arrow", "polars"]
)
def test_a_frame_is_judged_in_place(frame: Any, tmp_path: Path) -> None:
    result = check(frame, SUITE, engine="compiled", quarantine_path=tmp_path / "bad.parquet")
    counts = [r.result["unexpected_count"] for r in result.report.results]
    assert counts == [2, 1, 1]
    assert (result.data.kind, result.data.rows) == ("frame", 3)
    assert result.data.path.startswith("frame://")
    assert result.data.digest is not None
    assert len(result.data.digest) == 64
    rows = duckdb.sql(f"SELECT id, len(failed_expectations) FROM '{tmp_path}/bad.parquet'")
    assert sorted(rows.fetchall()) == [(2, 2), (2, 2)]


def test_the_same_values_have_the_same_digest() -> None:
    seen = [check(frame, SUITE, engine="compiled").data.digest for frame in (FRAME, FRAME.copy())]
    other = check(FRAME.assign(id=[1, 2, 3]), SUITE, engine="compiled").data.digest
    assert seen[0] == seen[1] != other


@pytest.mark.parametrize(
    ("column", "reason"),
    [("mixed", "Python objects"), ("kind", "categories"), ("some", "pandas' own Int64")],
)
def test_what_only_pandas_has_is_left_to_the_reference(column: str, reason: str) -> None:
    suite = suite_of(expect("column_values_to_not_be_null", column=column))
    with pytest.raises(SuiteError, match=f"column {column} holds {reason}"):
        check(FRAME, suite, engine="compiled")


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({1: [1]}), "the column name 1 is no text"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns share a name"),
    ],
)
def test_columns_need_names(frame: pd.DataFrame, said: str) -> None:
    with pytest.raises(DataReadError, match=said):
        check(frame, SUITE)


def test_a_frame_without_rows_is_judged() -> None:
    suite = suite_of(expect("table_row_count_to_be_between", min_value=1))
    assert not check(FRAME.head(0), suite, engine="compiled").success


@pytest.mark.slow
def test_the_rest_of_a_frame_goes_to_the_reference() -> None:
    suite = suite_of(
        expect("column_values_to_be_unique", column="id"),
        expect("column_values_to_be_in_set", column="kind", value_set=["a"]),
    )
    [ours, theirs] = check(FRAME, suite).report.results
    assert (ours.engine, theirs.engine) == ("compiled", "great_expectations")
    assert (theirs.reason, theirs.result["unexpected_count"]) == (
        "column kind holds categories",
        1,
    )
