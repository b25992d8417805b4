"""Killed, and side by side: each record stays exactly once and every batch adds up."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.migrate import migrate
from airflow_ai_provider.store.schema import feedback, feedback_batch

RECORDS = 20_000
FORK = multiprocessing.get_context("fork")  # a process that need not import everything first


class Ingest:
    """An ingest in a process of its own."""

    def __init__(self, url: str, files: tuple[Path, ...]) -> None:
        self._answer, told = FORK.Pipe(duplex=False)
        self._process = FORK.Process(target=self._run, args=(url, files, told))
        self._process.start()
        told.close()

    @staticmethod
    def _run(url: str, files: tuple[Path, ...], told: Any) -> None:
        found = FeedbackService(Store.open(url)).ingest(files)
        told.send([found.read, found.stored, found.revised, found.duplicates, found.quarantined])

    def is_over(self) -> bool:
        return self._process.exitcode is not None

    def kill(self) -> bool:
        """Kill it; return whether it was still there to be killed."""
        self._process.kill()
        self._process.join()
        self._answer.close()
        return self._process.exitcode == -signal.SIGKILL

    def counts(self) -> list[int]:
        """Wait for its end and return what it counted."""
        assert self._answer.poll(120)
        found: list[int] = self._answer.recv()
        self._process.join(60)
        assert self._process.exitcode == 0
        return found


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


def start(url: str, *files: Path) -> Ingest:
    return Ingest(url, files)


def finish(process: Ingest) -> list[int]:
    return process.counts()


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


def wait_until(process: Ingest, reached: Callable[[], bool]) -> None:
    while not process.is_over() and not reached():
        time.sleep(0.001)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store that several processes can use."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ai.db'}"
    found: str = request.getfixturevalue("postgres_url")
    migrate(Store(found))
    return found


def kill_at_random(url: str, file: Path, kills: int, *, longest: float, most_log: int) -> int:
    """Kill that many ingests at random moments; after each, whole batches are there and no other.

    Every second one on SQLite dies in the middle of the write, when the log has so many bytes.
    """
    store = Store.open(url)
    wal = Path(f"{store.path}-wal") if store.path else None
    generator, killed = random.Random(7), 0
    for kill in range(kills):
        before = check(store)[1]
        process = start(url, file)
        if kill % 2 and wal is not None:
            size = wal.stat().st_size + generator.randrange(1, most_log)
            wait_until(process, lambda size=size: wal.stat().st_size > size)  # type: ignore[misc]
        else:
            until = time.monotonic() + generator.uniform(0, longest)
            wait_until(process, lambda until=until: time.monotonic() > until)  # type: ignore[misc]
        if process.kill():
            killed += 1
            assert check(store)[1] in {before, before + 1}
    return killed


def finishes_what_was_killed(url: str, file: Path, records: int) -> None:
    """Read the file twice more: each id is there once, and every count adds up."""
    broken = records // 1000
    read, stored, revised, duplicates, quarantined = finish(start(url, file))
    assert (read, revised, quarantined) == (records, 0, broken)
    assert stored + duplicates == records - broken
    store = Store.open(url)
    assert check(store)[0] == records - broken
    assert finish(start(url, file)) == [records, 0, 0, records - broken, broken]
    assert FeedbackService(store).status()["quarantined"] == broken


@pytest.mark.slow
def test_killed_at_any_moment_each_record_is_there_once(url: str, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "in.jsonl", range(RECORDS))
    assert kill_at_random(url, file, 10, longest=1, most_log=4_000_000) >= 6
    finishes_what_was_killed(url, file, RECORDS)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_killed_two_hundred_times_each_record_is_there_once(url: str, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "in.jsonl", range(200_000))
    assert kill_at_random(url, file, 200, longest=6, most_log=40_000_000) >= 100
    finishes_what_was_killed(url, file, 200_000)


@pytest.mark.slow
def test_four_at_once_on_overlapping_files_take_each_record_once(url: str, tmp_path: Path) -> None:
    files = [
        write_lines(tmp_path / f"{start_}.jsonl", range(start_, start_ + 4000))
        for start_ in (0, 2000, 4000, 6000)
    ]
    Store.open(url)
    processes = [start(url, file) for file in files]
    found: list[Any] = [finish(process) for process in processes]
    assert sum(counts[1] for counts in found) == 10_000 - 10
    assert sum(counts[3] for counts in found) == 6000 - 6
    assert all(counts[0] == 4000 and counts[4] == 4 for counts in found)
    assert check(Store.open(url)) == (10_000 - 10, 4)
