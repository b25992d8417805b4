"""SQLite's own locks on the store's file, which any process may lose for us or we for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa

from airflow_ai_provider.store.engine import Store

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
