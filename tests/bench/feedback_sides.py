"""One way to take in a file of JSON Lines, in a process of its own: ours, and by hand.

``python -m tests.bench.feedback_sides SIDE FILE TARGET`` takes the file in once and prints one line
of JSON: the seconds, libraries not counted, the most memory that the process ever held, libraries
counted, and how many rows there are then and are new. ``TARGET`` is a file of SQLite, the address
of a database, or a folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.bench.feedback_data import FIELDS
from tests.bench.quality_sides import ROOT, peak_memory

_COLUMNS = (
    "feedback_id TEXT PRIMARY KEY, prediction_id TEXT, model_name TEXT, model_version TEXT,"
    " observed_at TEXT, label INTEGER, value DOUBLE PRECISION, source TEXT, source_kind TEXT,"
    " partition TEXT, comment TEXT"
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a side."""

    wall: float
    cpu: float
    peak: float
    rows: int
    added: int


def run(side: str, file: Any, target: Any) -> Run:
    """Run ``side`` once in a new process."""
    command = [sys.executable, "-m", "tests.bench.feedback_sides", side, str(file), str(target)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


Work = Callable[[], tuple[int, int]]


def store(file: str, url: str) -> Work:
    """Take in as the product does, into a store."""
    from airflow_ai_provider.services.feedback import FeedbackService
    from airflow_ai_provider.store.engine import Store
    from airflow_ai_provider.store.migrate import migrate

    url = url if "://" in url else f"sqlite:///{url}"
    migrate(Store(url))
    service = FeedbackService(Store.open(url))

    def work() -> tuple[int, int]:
        found = service.ingest(file)
        assert found.quarantined == 0
        return found.read, found.stored

    return work


def delta(file: str, folder: str) -> Work:
    """Take in as the product does, into a Delta table."""
    import duckdb  # noqa: F401
    import pandas  # noqa: F401 - which pyarrow imports
    from deltalake import DeltaTable  # noqa: F401
    from pyarrow import compute, dataset, json  # noqa: F401

    from airflow_ai_provider.services.feedback import FeedbackService
    from airflow_ai_provider.store.engine import Store

    service = FeedbackService(Store.open(f"sqlite:///{folder}.db"), delta=folder)

    def work() -> tuple[int, int]:
        found = service.ingest(file)
        assert found.quarantined == 0
        return found.read, found.stored

    return work


def executemany(file: str, path: str) -> Work:
    """By hand into SQLite: ``json.loads`` and one ``executemany`` with ``OR IGNORE``."""
    import sqlite3

    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE IF NOT EXISTS feedback ({_COLUMNS})")

    def work() -> tuple[int, int]:
        before = connection.total_changes
        marks = ", ".join("?" * len(FIELDS))
        connection.executemany(f"INSERT OR IGNORE INTO feedback VALUES ({marks})", _rows(file))
        connection.commit()
        [(rows,)] = connection.execute("SELECT count(*) FROM feedback")
        return rows, connection.total_changes - before

    return work


def to_sql(file: str, path: str) -> Work:
    """By pandas into SQLite, which keeps nothing apart that is there already."""
    import sqlite3

    import pandas as pd

    connection = sqlite3.connect(path)

    def work() -> tuple[int, int]:
        frame = pd.read_json(file, lines=True)
        frame.to_sql("feedback", connection, if_exists="append", index=False)
        connection.commit()
        [(rows,)] = connection.execute("SELECT count(*) FROM feedback")
        return rows, len(frame)

    return work


def copy(file: str, url: str) -> Work:
    """By hand into PostgreSQL: COPY into a staging table, and an insert from there."""
    import psycopg

    connection = psycopg.connect(url)
    connection.execute(f"CREATE TABLE IF NOT EXISTS feedback ({_COLUMNS})")
    connection.commit()

    def work() -> tuple[int, int]:
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TEMP TABLE staging ON COMMIT DROP AS SELECT * FROM feedback WITH NO DATA"
            )
            with cursor.copy("COPY staging FROM STDIN") as stream:
                for row in _rows(file):
                    stream.write_row(row)
            cursor.execute("INSERT INTO feedback SELECT * FROM staging ON CONFLICT DO NOTHING")
            added = cursor.rowcount
        connection.commit()
        [(rows,)] = connection.execute("SELECT count(*) FROM feedback")
        return rows, added

    return work


def parse(file: str, _target: str) -> Work:
    """Parse the JSON alone, with Arrow, and keep nothing."""
    from pyarrow import json as arrow_json

    def work() -> tuple[int, int]:
        return arrow_json.read_json(file).num_rows, 0

    return work


def _rows(file: str) -> Iterator[tuple[Any, ...]]:
    with open(file, encoding="utf-8") as stream:  # noqa: PTH123 - as one writes it by hand
        for line in stream:
            document = json.loads(line)
            yield tuple(document.get(name) for name in FIELDS)


SIDES: dict[str, Callable[[str, str], Work]] = {
    "store": store,
    "delta": delta,
    "executemany": executemany,
    "to_sql": to_sql,
    "copy": copy,
    "parse": parse,
}


def main(name: str, file: str, target: str) -> None:
    """Run a side and print what it took."""
    work = SIDES[name](file, target)
    cpu, began = time.process_time(), time.perf_counter()
    rows, added = work()
    wall, spent = time.perf_counter() - began, time.process_time() - cpu
    found = {"wall": wall, "cpu": spent, "peak": peak_memory(), "rows": rows, "added": added}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
