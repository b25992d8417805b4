"""Two stores of one process on one SQLite file: neither may cost the other its locks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa

from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import host

OTHER = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1])
other.execute("UPDATE host SET boot_id = 'other'")
other.commit()
other.close()  # as the last to close, it would take the write-ahead log away
"""


def test_a_second_store_leaves_the_locks_of_the_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'airflow_ai.db'}"
    first = Store.open(url)
    with first.write() as connection:
        wall = first.utcnow(connection)
        connection.execute(host.insert().values(name="h", boot_id="first", seen_at=wall))
    log = (tmp_path / "airflow_ai.db-wal").stat().st_ino
    Store.open(url).close()
    command = [sys.executable, "-c", OTHER, str(tmp_path / "airflow_ai.db")]
    subprocess.run(command, check=True)
    with first.read() as connection:
        assert connection.execute(sa.select(host.c.boot_id)).scalar_one() == "other"
    assert (tmp_path / "airflow_ai.db-wal").stat().st_ino == log
