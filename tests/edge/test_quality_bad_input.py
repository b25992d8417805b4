"""Bad input, kind by kind: an error that names it, no part of a quarantine, and never a pass."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_ai_provider.core.errors import (
    AirflowAiError,
    DatabaseLostError,
    DataQualityGateError,
    DataReadError,
    QualityError,
    StorageLostError,
    SuiteError,
)
from airflow_ai_provider.operators.quality import DataQualityGateOperator
from airflow_ai_provider.store.ledger import Ledger
from tests.data_made import cut_short, damaged_inside, parquet, written
from tests.edge.gpu_tasks import context


def expect(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{kind}", "kwargs": kwargs}


def suite_of(*expectations: dict[str, Any]) -> dict[str, Any]:
    return {"name": "orders", "expectations": list(expectations)}


UNIQUE = expect("column_values_to_be_unique", column="id")
AMOUNT = expect("column_values_to_be_between", column="amount", min_value=0)


class World:
    """A store, and a gate that is refused."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.folder = folder
        self.kept = folder / "kept"
        self.ledger = ledger

    def gate(self, **arguments: Any) -> dict[str, Any]:
        operator = DataQualityGateOperator(
            task_id="gate",
            **{
                "suite": suite_of(UNIQUE, AMOUNT),
                "quarantine_path": str(self.kept / "bad.parquet"),
                "good_rows_path": str(self.kept / "good.parquet"),
                **arguments,
            },
        )
        return operator.execute(context())

    def refused(self, kind: type[AirflowAiError], words: str, **arguments: Any) -> None:
        """Make sure that the gate ends with an error of ``kind``, and left nothing behind."""
        with pytest.raises((AirflowFailException, AirflowAiError), match=words) as raised:
            self.gate(**arguments)
        error = raised.value.__cause__ if raised.errisinstance(AirflowFailException) else None
        assert isinstance(error or raised.value, kind)
        assert self.ledger.search() == []
        assert not self.kept.exists() or list(self.kept.iterdir()) == []


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger) -> World:
    return World(tmp_path, ledger)


def amounts(path: Path) -> Path:
    return parquet(path, "SELECT range AS id, -1.5 AS amount FROM range(1000)")


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: cut_short(folder / "d.parquet"),
        lambda folder: damaged_inside(folder / "d.parquet"),
        lambda folder: written(folder / "d.jsonl", '{"id": 1, "amount": 2}\n{"id": 2, "am'),
        lambda folder: written(folder / "d.csv", 'id,amount\n1,"2\n3,4\n'),
        lambda folder: written(folder / "d.csv", ""),
    ],
    ids=["parquet without its end", "parquet damaged inside", "JSON Lines", "CSV quote", "empty"],
)
def test_a_file_cut_short(world: World, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    world.refused(DataReadError, f"Cannot read {path}", data=str(path))


@pytest.mark.parametrize("row", ["3,4,5", "3"], ids=["too many fields", "too few fields"])
def test_a_csv_with_ragged_rows(world: World, tmp_path: Path, row: str) -> None:
    path = written(tmp_path / "d.csv", f"id,amount\n1,2\n{row}\n6,7\n")
    world.refused(DataReadError, f"Cannot read {path}", data=str(path))


@pytest.mark.parametrize("engine", ["compiled", pytest.param("auto", marks=pytest.mark.slow)])
def test_a_column_whose_type_changed(world: World, tmp_path: Path, engine: str) -> None:
    path = parquet(tmp_path / "d.parquet", "SELECT 1 AS id, 'none' AS amount")
    world.refused(SuiteError, r"between\(amount\)", data=str(path), engine=engine)


def test_a_column_whose_type_changed_between_two_files(world: World, tmp_path: Path) -> None:
    amounts(tmp_path / "in" / "1.parquet")
    parquet(tmp_path / "in" / "2.parquet", "SELECT 1 AS id, 'none' AS amount")
    world.refused(QualityError, r"amount", data=str(tmp_path / "in"), engine="compiled")


def test_a_partition_without_files(world: World, tmp_path: Path) -> None:
    (tmp_path / "month=1").mkdir()
    world.refused(DataReadError, "month=1: there is no such file", data=str(tmp_path / "month=1"))
    world.refused(DataReadError, "there is no such file", data=str(tmp_path / "month=1" / "*.csv"))


NONE = "SELECT range AS id, 1.5 AS amount FROM range(0)"


@pytest.mark.parametrize("kind", ["parquet", "csv", "frame"])
def test_a_partition_without_rows(world: World, tmp_path: Path, kind: str) -> None:
    data: dict[str, Any] = {"data": str(tmp_path / f"d.{kind}")}
    if kind == "parquet":
        parquet(tmp_path / "d.parquet", NONE)
    elif kind == "csv":
        written(tmp_path / "d.csv", "id,amount\n")
    else:
        data = {"frame_callable": lambda: pd.DataFrame({"id": [1], "amount": [1.0]}).head(0)}
    with pytest.raises(AirflowFailException, match="has no rows: there was nothing") as raised:
        world.gate(suite=suite_of(UNIQUE), dataset="orders", partition="1", **data)
    assert isinstance(raised.value.__cause__, DataQualityGateError)
    [record] = world.ledger.search()
    assert (record.verdict, record.criteria[0]["name"]) == ("fail", "rows")
    assert not (world.kept / "bad.parquet").exists()


def test_a_partition_without_rows_passes_where_that_is_said_to_be_well(
    world: World, tmp_path: Path
) -> None:
    path = str(parquet(tmp_path / "d.parquet", NONE))
    assert world.gate(data=path, allow_empty=True)["verdict"] == "pass"
    counted = suite_of(UNIQUE, expect("table_row_count_to_be_between", max_value=9))
    assert world.gate(data=path, suite=counted)["verdict"] == "pass"


def test_a_suite_over_a_thousand_expectations(world: World, tmp_path: Path) -> None:
    path = str(amounts(tmp_path / "d.parquet"))
    between = [expect("column_values_to_be_between", column="id", max_value=n) for n in range(1200)]
    with pytest.raises(AirflowFailException, match="failed 999 of 1200 expectations"):
        world.gate(data=path, suite=suite_of(*between), engine="compiled")
    [record] = world.ledger.search()
    assert len(record.criteria) == 1200


def test_a_suite_over_what_is_allowed(world: World, tmp_path: Path) -> None:
    path = str(amounts(tmp_path / "d.parquet"))
    world.refused(
        SuiteError, "has 5001 expectations; 5000 are allowed", data=path,
        suite=suite_of(*[UNIQUE] * 5001),
    )  # fmt: skip


def test_a_regular_expression_that_would_run_forever(world: World, tmp_path: Path) -> None:
    path = written(tmp_path / "d.csv", "id,a\n1," + "a" * 60 + "!\n")
    nested = suite_of(expect("column_values_to_match_regex", column="a", regex="^(a+)+$"))
    began = time.monotonic()
    with pytest.raises(AirflowFailException, match="1 unexpected of 1 rows"):
        world.gate(data=str(path), suite=nested)  # RE2's time is linear
    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_a_regular_expression_that_runs_forever_in_the_reference(
    world: World, tmp_path: Path
) -> None:
    path = written(tmp_path / "d.csv", "id,a\n1," + "a" * 60 + "!\n")
    ahead = suite_of(expect("column_values_to_match_regex", column="a", regex="^(?=(a+)+$)"))
    world.refused(
        QualityError, r"longer than 2 seconds for .*regex\(a\)", data=str(path), suite=ahead,
        time_limit=2,
    )  # fmt: skip


def test_a_path_that_is_no_folder(world: World, tmp_path: Path) -> None:
    """A file in a folder's place is refused to root too."""
    written(tmp_path / "file", "")
    world.refused(DataReadError, "there is no such file", data=str(tmp_path / "file" / "d.csv"))
    world.refused(
        DataReadError, f"Cannot write rows to {tmp_path}/file/bad.parquet",
        data=str(amounts(tmp_path / "d.parquet")),
        quarantine_path=str(tmp_path / "file" / "bad.parquet"),
    )  # fmt: skip


QUERY = (
    "SELECT range AS id, -1.0 AS amount, repeat('x', 200) AS note FROM generate_series(1, 90000)"
)


class Closed(MemoryFileSystem):
    """A storage that lets nobody read, or drops every transfer."""

    protocol = "memory"
    store: dict[str, Any] = {"/closed/d.parquet": b""}
    pseudo_dirs: list[str] = [""]
    says: OSError = PermissionError("no right to read")

    def open(self, path: str, *args: Any, **kwargs: Any) -> Any:
        raise self.says

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        return {"name": path, "type": "file", "size": 1}


@pytest.mark.parametrize(
    ("says", "kind", "words"),
    [
        (PermissionError("no right to read"), DataReadError, "no right to read"),
        (TimeoutError("no answer"), StorageLostError, "TimeoutError: no answer"),
    ],
)
def test_a_storage_without_permission_or_answer(
    world: World, says: OSError, kind: type[AirflowAiError], words: str
) -> None:
    Closed.says = says
    attach(protocol="memory", conn_id="closed", fs=Closed())
    address = "memory://closed@closed/d.parquet"
    world.refused(kind, f"Cannot read {address}: {words}", data=address)


@contextmanager
def ending_backends(url: str, when: str) -> Iterator[list[int]]:
    """End each backend as soon as it runs a statement that looks like ``when``."""
    ended: list[int] = []
    over = threading.Event()

    def watch() -> None:
        with psycopg.connect(url, autocommit=True) as own:
            while not over.is_set():
                ended.extend(
                    row[0]
                    for row in own.execute(
                        "SELECT pid FROM pg_stat_activity WHERE query LIKE %s AND pid <> "
                        "pg_backend_pid() AND pg_terminate_backend(pid)",
                        [when],
                    )
                )
                time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield ended
    finally:
        over.set()
        watcher.join()


@pytest.mark.parametrize(
    "when", ["%count(%", "%FETCH%"], ids=["at the look", "while rows are kept"]
)
def test_a_database_that_drops_the_connection_half_way(
    world: World, postgres_url: str, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            "CREATE TABLE orders AS SELECT g AS id, -1.0 AS amount, repeat('x', 200) AS note "
            "FROM generate_series(1, 90000) g"
        )
    monkeypatch.setenv(
        "AIRFLOW_CONN_SHOP",
        json.dumps({"conn_type": "postgres", "extra": json.dumps({"url": postgres_url})}),
    )
    with ending_backends(postgres_url, when) as ended:
        world.refused(
            DatabaseLostError, "/orders: the connection to the database was lost",
            conn_id="shop", table="orders", engine="compiled",
        )  # fmt: skip
    assert ended
