"""The data of a gate record can be found again: by path, version, size, digest, or snapshot."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
import sqlalchemy as sa

from airflow_ai_provider.adapters.data_files import find_files
from airflow_ai_provider.core.quality.result import MOST_PARTS, DataSeen
from airflow_ai_provider.services.quality import SqlSource, check
from airflow_ai_provider.store.ledger import Ledger
from tests.stores import store_in_memory

SUITE = {
    "name": "orders",
    "expectations": [{"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}}],
}


def recorded(data: Any, **arguments: Any) -> dict[str, Any]:
    """Return what the gate record of ``data`` says of it, once it was in a ledger."""
    ledger = Ledger(store_in_memory())
    written = ledger.append(check(data, SUITE, **arguments).draft())
    found: dict[str, Any] = ledger.get(written.id).evidence["data"]
    ledger.store.close()
    return found


def sha256(path: Path | str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_a_file_is_found_by_its_path_size_and_digest(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("id\n1\n2\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    seen = recorded(path)
    assert seen == {
        "path": str(path),
        "size": 7,
        "digest": sha256(path),
        "rows": 2,
        "files": 1,
        "kind": "files",
        "modified": "2023-11-14T22:13:20+00:00",
    }
    path.write_text("id\n1\n3\n")
    assert find_files(seen["path"]).digest != seen["digest"]


def test_a_relative_path_is_recorded_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d.csv").write_text("id\n1\n")
    monkeypatch.chdir(tmp_path)
    assert recorded("d.csv")["path"] == str(tmp_path / "d.csv")
    assert recorded("*.csv")["path"] == f"{tmp_path}/*.csv"


@pytest.mark.parametrize("how", ["folder", "glob", "copy"])
def test_each_file_of_several_is_found_though_more_have_come(tmp_path: Path, how: str) -> None:
    data = tmp_path / "data"
    for month in (1, 2):
        target = data / f"month={month}" / "part.parquet"
        target.parent.mkdir(parents=True)
        duckdb.sql(f"COPY (SELECT {month} AS id) TO '{target}' (FORMAT parquet)")
    given = f"{data}/*/part.parquet" if how == "glob" else str(data)
    elsewhere = {"shown_as": "s3://bucket/data", "version": "v7"} if how == "copy" else {}
    seen = recorded(given, **elsewhere)
    assert (seen["files"], seen["rows"]) == (2, 2)
    assert (seen["path"], seen.get("version")) == (
        ("s3://bucket/data", "v7") if how == "copy" else (given, None)
    )
    (data / "month=3").mkdir()
    (data / "month=3" / "part.parquet").write_bytes((target).read_bytes())
    for part in seen["parts"]:
        file = Path(part["name"]) if how == "glob" else data / part["name"]
        assert (part["size"], part["digest"]) == (file.stat().st_size, sha256(file))
    listed = "\n".join(f"{p['digest']}  {Path(p['name']).name}" for p in seen["parts"])
    assert hashlib.sha256(listed.encode()).hexdigest() == seen["digest"]
    assert find_files(given).digest != seen["digest"]


def test_the_list_of_files_is_bounded_and_not_in_the_report() -> None:
    parts = tuple({"name": f"{n}.csv", "size": n, "digest": ""} for n in range(MOST_PARTS + 5))
    seen = DataSeen(path="/data", rows=1, files=len(parts), parts=parts)
    assert len(seen.recorded()["parts"]) == MOST_PARTS
    assert seen.recorded()["files"] == MOST_PARTS + 5
    assert "parts" not in seen.evidence()


def test_a_frame_is_known_by_its_values() -> None:
    frame = pd.DataFrame({"id": [1, 2]})
    assert recorded(frame)["digest"] == recorded(frame.copy())["digest"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_table_is_known_by_its_rows_and_the_time(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path}/shop.db"
    else:
        url = request.getfixturevalue("postgres_url").replace("://", "+psycopg://", 1)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (id INTEGER)"))
        connection.execute(sa.text("INSERT INTO orders VALUES (1), (2)"))
    engine.dispose()
    before = datetime.now(timezone.utc)
    seen = recorded(SqlSource(url=url, table="orders"))
    assert seen["path"].endswith("/orders")
    assert (seen["kind"], seen["rows"]) == ("table", 2)
    assert abs((datetime.fromisoformat(seen["looked_at"]) - before).total_seconds()) < 60
    assert ("snapshot" in seen) is (kind == "postgresql")
    text = "SELECT id FROM orders WHERE id > 1"
    asked = recorded(SqlSource(url=url, query=text))
    assert (asked["kind"], asked["rows"]) == ("query", 1)
    assert asked["query_digest"] == hashlib.sha256(text.encode()).hexdigest()
