"""Files of an object store: a file, a glob, a partitioned folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_ai_provider.core.errors import DataReadError
from airflow_ai_provider.hooks.quality import DataQualityHook

SUITE = {
    "name": "orders",
    "expectations": [{"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}}],
}


class Versioned(MemoryFileSystem):
    """A store that says which version a file has, as S3 does."""

    protocol = "memory"
    store: dict[str, Any] = {}
    pseudo_dirs: list[str] = [""]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        found = super().info(path, **kwargs)
        if found["type"] == "file":
            found["ETag"] = f'"{len(self.cat_file(path))}"'
        return found


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[str]:
    files = Versioned()
    attach(protocol="memory", fs=files)
    for month in (1, 2):
        path = tmp_path / f"{month}.parquet"
        duckdb.sql(f"COPY (SELECT range + {month * 10} AS id FROM range(5)) TO '{path}'")
        files.pipe(f"/bucket/orders/month={month}/part.parquet", path.read_bytes())
    files.pipe("/bucket/suite.json", json.dumps(SUITE).encode())
    yield "memory:///bucket"
    files.store.clear()


def test_the_store_is_the_one_that_was_attached(bucket: str) -> None:
    assert isinstance(ObjectStoragePath(f"{bucket}/suite.json").fs, Versioned)


@pytest.mark.parametrize(
    ("what", "rows", "files"),
    [
        ("orders/month=1/part.parquet", 5, 1),
        ("orders/*/part.parquet", 10, 2),
        ("orders", 10, 2),
    ],
)
def test_files_of_a_store_are_judged(bucket: str, what: str, rows: int, files: int) -> None:
    result = DataQualityHook().check(f"{bucket}/{what}", f"{bucket}/suite.json")
    assert (result.success, result.data.rows, result.data.files) == (True, rows, files)
    assert result.data.path == f"{bucket}/{what}"
    assert result.data.version
    assert result.data.modified is None


def test_a_partition_is_a_column(bucket: str) -> None:
    suite = {
        "name": "months",
        "expectations": [
            {
                "type": "expect_column_distinct_values_to_equal_set",
                "kwargs": {"column": "month", "value_set": [1, 2]},
            }
        ],
    }
    assert DataQualityHook().check(f"{bucket}/orders", suite, engine="compiled").success


@pytest.mark.parametrize("what", ["absent.parquet", "absent/*.parquet"])
def test_what_is_not_there_is_named(bucket: str, what: str) -> None:
    with pytest.raises(DataReadError, match="there is no such file"):
        DataQualityHook().check(f"{bucket}/{what}", SUITE)
