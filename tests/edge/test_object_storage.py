"""Files of an object store: a file, a glob, a partitioned folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_ai_provider.core.errors import DataReadError, StorageLostError
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

    broken = ""  # what a transfer that is dropped half way is about
    async_impl = False  # as fsspec calls the storages whose uploads are there whole or not at all

    def put_file(self, lpath: str, rpath: str, *args: Any, **kwargs: Any) -> None:
        if self.broken and self.broken in rpath:
            if not self.async_impl:
                self.pipe_file(rpath, Path(lpath).read_bytes()[:100])
            raise ConnectionResetError("the peer went away")
        super().put_file(lpath, rpath, *args, **kwargs)

    changing = False  # whether somebody writes on while a file is read

    def open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:
        if self.changing and mode == "rb":
            read = BytesIO(self.cat_file(path))
            self.pipe_file(path, b"something else")
            return read
        return super().open(path, mode, *args, **kwargs)

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        found = super().info(path, **kwargs)
        if found["type"] == "file":
            found["ETag"] = f'"{len(self.cat_file(path))}"'
        return found


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[str]:
    files = Versioned()
    attach(protocol="memory", conn_id="versioned", fs=files)  # the first of a name stays
    for month in (1, 2):
        path = tmp_path / f"{month}.parquet"
        duckdb.sql(f"COPY (SELECT range + {month * 10} AS id FROM range(5)) TO '{path}'")
        files.pipe(f"/bucket/orders/month={month}/part.parquet", path.read_bytes())
    files.pipe("/bucket/suite.json", json.dumps(SUITE).encode())
    yield "memory://versioned@bucket"
    files.store.clear()
    Versioned.broken, Versioned.async_impl, Versioned.changing = "", False, False


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


def test_the_record_names_each_file_with_its_version(bucket: str) -> None:
    result = DataQualityHook().check(f"{bucket}/orders", SUITE)
    files = Versioned()
    for part in result.draft().evidence["data"]["parts"]:
        stored = files.cat_file(f"/bucket/orders/{part['name']}")
        assert part["digest"] == hashlib.sha256(stored).hexdigest()
        assert (part["size"], part["version"]) == (len(stored), str(len(stored)))


def test_a_file_that_changes_while_it_is_fetched_is_noticed(bucket: str) -> None:
    Versioned.changing = True
    with pytest.raises(DataReadError, match=r"part\.parquet: it changed while it was read"):
        DataQualityHook().check(f"{bucket}/orders", SUITE)


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


SMALL = {
    "name": "small",
    "expectations": [
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "id", "max_value": 12}}
    ],
}


def kept(bucket: str, **also: str) -> Any:
    return DataQualityHook().check(
        f"{bucket}/orders/month=1/part.parquet",
        SMALL,
        quarantine_path=f"{bucket}/q/bad.parquet",
        **also,
    )


def rows_at(address: str, folder: Path) -> list[Any]:
    stored = ObjectStoragePath(address)
    (folder / "copy.parquet").write_bytes(stored.fs.cat_file(str(stored.path)))
    return duckdb.sql(f"SELECT id FROM '{folder}/copy.parquet' ORDER BY id").fetchall()


def written(files: MemoryFileSystem) -> list[str]:
    return sorted(n for n in files.store if not n.startswith(("/bucket/orders", "/bucket/suite")))


@pytest.mark.parametrize("whole_uploads", [False, True])
def test_rows_are_kept_apart_in_a_store(bucket: str, tmp_path: Path, whole_uploads: bool) -> None:
    Versioned.async_impl = whole_uploads
    for _ in range(2):  # the second replaces what the first wrote
        result = kept(bucket, good_rows_path=f"{bucket}/good.parquet")
    assert result.quarantine.path == f"{bucket}/q/bad.parquet"
    assert (result.quarantine.rows, result.good_rows.rows) == (2, 3)
    assert rows_at(result.quarantine.path, tmp_path) == [(13,), (14,)]
    assert rows_at(result.good_rows.path, tmp_path) == [(10,), (11,), (12,)]
    assert written(Versioned()) == ["/bucket/good.parquet", "/bucket/q/bad.parquet"]


def test_rows_are_kept_apart_behind_a_file_address(bucket: str, tmp_path: Path) -> None:
    result = kept(bucket, good_rows_path=f"file://{tmp_path}/deep/good.parquet")
    assert duckdb.sql(f"SELECT count(*) FROM '{result.good_rows.path}'").fetchall() == [(3,)]


@pytest.mark.parametrize("whole_uploads", [False, True])
def test_a_dropped_transfer_is_named_and_leaves_no_part(bucket: str, whole_uploads: bool) -> None:
    Versioned.async_impl, Versioned.broken = whole_uploads, "bad.parquet"
    with pytest.raises(StorageLostError, match=r"write rows to memory:.*bad\.parquet.*went away"):
        kept(bucket)
    assert written(Versioned()) == []


def test_what_stood_there_survives_a_dropped_transfer(bucket: str, tmp_path: Path) -> None:
    address = kept(bucket).quarantine.path
    Versioned.broken = "bad.parquet"
    with pytest.raises(StorageLostError):
        kept(bucket)
    assert rows_at(address, tmp_path) == [(13,), (14,)]


def test_a_storage_that_is_not_installed_is_named(bucket: str) -> None:
    with pytest.raises(DataReadError, match=r"write rows to nosuch://x/bad\.parquet") as raised:
        DataQualityHook().check(f"{bucket}/orders", SMALL, quarantine_path="nosuch://x/bad.parquet")
    assert not isinstance(raised.value, StorageLostError)
