"""Migrations build the tables that the code uses, once, whoever comes first."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from airflow_ai_provider.core.errors import (
    StoreError,
    StoreNotFoundError,
    StoreNotMigratedError,
    StoreUnavailableError,
)
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.migrate import HEAD, VERSION_TABLE, check, current
from airflow_ai_provider.store.schema import metadata
from tests.store.processes import together


def test_migrations_and_tables_agree(store: Store) -> None:
    options = {"version_table": VERSION_TABLE, "compare_type": True}
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
        unique = {
            table: {
                tuple(u["column_names"])
                for u in sa.inspect(connection).get_unique_constraints(table)
            }
            for table in metadata.tables
        }
    assert unique["gate_record"] == {("id",), ("decision_key",), ("hash",)}


def test_opening_twice_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    Ledger(Store.open(url)).append(GateDraft(kind=GateKind.DATA, subject="x", verdict=Verdict.PASS))
    again = Store.open(url)
    assert current(again) == HEAD
    assert Ledger(again).verify() == (1, None)


def test_processes_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"

    def open_it(_number: int, barrier: Any) -> None:
        barrier.wait()
        Store.open(url)

    together(open_it, 4)
    check(Store(url))


def test_a_migration_killed_half_way_leaves_no_half(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    script = (
        "import sys, time, airflow_ai_provider.store.migrate as m\n"
        "whole = m._upgrade\n"
        "def slow(connection):\n"
        "    whole(connection); print('done', flush=True); time.sleep(60)\n"
        "m._upgrade = slow\n"
        "from airflow_ai_provider.store.engine import Store\n"
        f"Store.open('sqlite:///{path}')\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"done\n"  # every statement ran, nothing is committed
        os.kill(child.pid, signal.SIGKILL)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    started = time.monotonic()
    check(Store.open(f"sqlite:///{path}"))
    assert time.monotonic() - started < 20


def test_tables_of_a_later_version_are_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    store = Store.open(url)
    with store.write() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(StoreNotMigratedError, match="Upgrade airflow-ai-provider"):
        Store.open(url)


def test_a_store_without_tables_is_named(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'a.db'}")
    with pytest.raises(StoreNotMigratedError, match="airflow-ai store migrate"):
        check(store)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_text("not a database, not at all " * 50)
    with pytest.raises(StoreError, match="not a database"):
        Store.open(f"sqlite:///{path}")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreNotFoundError, match="cannot be made"):
        Store.open(f"sqlite:///{tmp_path / 'file' / 'a.db'}")


def test_an_address_that_means_nothing_is_named() -> None:
    with pytest.raises(StoreError, match="no database URL"):
        Store("what is this")
    with pytest.raises(StoreError, match="mysql"):
        Store("mysql://localhost/x")


def test_a_table_that_is_gone_is_no_silence(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'a.db'}")
    with store.write() as connection:
        connection.exec_driver_sql("DROP TABLE gate_record")
    with pytest.raises(StoreUnavailableError, match="gate_record"):
        Ledger(store).search()
