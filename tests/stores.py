"""Empty stores in SQLite: migrated once in a process, and copied from then on.

A test that is not about migrations begins where they have ended.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

from airflow_ai_provider.store.engine import MEMORY_URL, Store


def store_in_memory() -> Store:
    """Return an empty store in memory."""
    store = Store(MEMORY_URL)
    with closing(store.engine.raw_connection()) as connection:
        assert isinstance(connection.driver_connection, sqlite3.Connection)
        _copy_into(connection.driver_connection)
    return store


def store_file(path: Path) -> str:
    """Put an empty store at ``path``, where nothing is yet, and return its address."""
    assert not path.exists()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        _copy_into(connection)
    return f"sqlite:///{path}"


def _copy_into(connection: sqlite3.Connection) -> None:
    with closing(_migrated().engine.raw_connection()) as source:
        assert isinstance(source.driver_connection, sqlite3.Connection)
        source.driver_connection.backup(connection)


@cache
def _migrated() -> Store:
    return Store.open(MEMORY_URL)
