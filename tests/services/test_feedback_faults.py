"""Killed, and side by side: each record stays exactly once and every batch adds up."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import feedback, feedback_batch

RECORDS = 20_000
INGEST = """
import json, sys
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.store.engine import Store
service = FeedbackService(Store.open(sys.argv[1]))
print("ready", flush=True)
found = service.ingest(sys.argv[2:])
print(json.dumps([found.read, found.stored, found.revised, found.duplicates, found.quarantined]))
"""


def write_lines(path: Path, numbers: range) -> Path:
    told = {
        "model_name": "m",
        "observed_at": "2013-06-10T00:00:00Z",
        "source_kind": "outcome",
        "comment": "x" * 100,
    }
    with path.open("w") as stream:
        for n in numbers:
            document = {"feedback_id": f"f{n}", "prediction_id": f"p{n}", "label": n % 2, **told}
            stream.write("broken\n" if n % 1000 == 999 else json.dumps(document) + "\n")
    return path


def start(url: str, *files: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", INGEST, url, *map(str, files)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process: subprocess.Popen[str]) -> list[int]:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    counts: list[int] = json.loads(out)
    return counts


def check(store: Store) -> tuple[int, int]:
    """Every id once for its content, and every batch adds up; return (records, batches)."""
    table = feedback_batch.c
    with store.read() as connection:
        rows, ids = connection.execute(
            sa.select(sa.func.count(), sa.func.count(sa.distinct(feedback.c.feedback_id)))
        ).one()
        batches = connection.execute(
            sa.select(table.read, table.stored, table.revised, table.duplicates, table.quarantined)
        ).all()
    assert rows == ids == sum(batch.stored for batch in batches)
    for batch in batches:
        assert batch.read == batch.stored + batch.revised + batch.duplicates + batch.quarantined
    return rows, len(batches)


def wait_until(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    while process.poll() is None and not reached():
        time.sleep(0.001)


@pytest.mark.slow
def test_killed_at_any_moment_each_record_is_there_once(tmp_path: Path) -> None:
    url, wal = f"sqlite:///{tmp_path}/ai.db", tmp_path / "ai.db-wal"
    store = Store.open(url)
    file = write_lines(tmp_path / "in.jsonl", range(RECORDS))
    generator, killed = random.Random(7), 0
    for kill in range(6):
        before = check(store)[1]
        process = start(url, file)
        if kill % 2:  # in the middle of the write: the transaction spills into the log
            size = wal.stat().st_size + generator.randrange(1, 4_000_000)
            wait_until(process, lambda size=size: wal.stat().st_size > size)  # type: ignore[misc]
        else:
            until = time.monotonic() + generator.uniform(0, 1)
            wait_until(process, lambda until=until: time.monotonic() > until)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            killed += 1
            assert check(store)[1] in {before, before + 1}
    assert killed >= 4
    read, stored, revised, duplicates, quarantined = finish(start(url, file))
    assert (read, revised, quarantined) == (RECORDS, 0, 20)
    assert stored + duplicates == RECORDS - 20
    assert check(store)[0] == RECORDS - 20
    assert finish(start(url, file)) == [RECORDS, 0, 0, RECORDS - 20, 20]
    assert FeedbackService(store).status()["quarantined"] == 20


@pytest.mark.slow
def test_three_at_once_on_overlapping_files_take_each_record_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ai.db"
    files = [
        write_lines(tmp_path / f"{start_}.jsonl", range(start_, start_ + 4000))
        for start_ in (0, 2000, 4000)
    ]
    processes = [start(url, file) for file in files]
    found: list[Any] = [finish(process) for process in processes]
    assert sum(counts[1] for counts in found) == 8000 - 8
    assert sum(counts[3] for counts in found) == 4000 - 4
    assert all(counts[0] == 4000 and counts[4] == 4 for counts in found)
    assert check(Store.open(url)) == (8000 - 8, 3)
