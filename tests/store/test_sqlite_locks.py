"""SQLite's own locks on the store's file, which any process may lose for us or we for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import sqlalchemy as sa

from airflow_ai_provider.store.engine import MEMORY_URL, Store

COME_AND_GO = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM lease").fetchone()
connection.close()
"""


def test_opening_the_store_again_lets_go_of_no_lock(tmp_path: Path) -> None:
    """Else the next who leaves takes itself for the last, and deletes the log in use."""
    path = tmp_path / "airflow_ai.db"
    store = Store.open(f"sqlite:///{path}")
    with store.read() as connection:
        connection.execute(sa.text("SELECT count(*) FROM lease"))
        log = Path(f"{path}-wal").stat().st_ino
        Store.open(f"sqlite:///{path}").close()
        subprocess.run([sys.executable, "-c", COME_AND_GO, str(path)], check=True)
        assert Path(f"{path}-wal").stat().st_ino == log
    store.close()


def test_a_store_in_memory_is_closed_once_nobody_reads_from_it() -> None:
    store = Store.open(MEMORY_URL)
    closing = threading.Thread(target=store.close)
    with store.glance() as connection:
        closing.start()
        closing.join(0.2)
        assert closing.is_alive()
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1
    closing.join(5)
    assert not closing.is_alive()
