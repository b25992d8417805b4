"""Killed while it writes into a Delta table: each record stays exactly once."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import feedback_batch
from tests.services.test_feedback_faults import write_lines

# of a process that has not used the library yet: its threads do not live on in a fork
FORK = multiprocessing.get_context("forkserver")
PRELOADED = [
    "airflow_ai_provider.services.feedback",
    "airflow_ai_provider.adapters.delta",
    "duckdb",
]


def ingest(url: str, delta: str, file: Path, told: Any) -> None:
    found = FeedbackService(Store.open(url), delta=delta).ingest(file)
    told.send([found.read, found.stored, found.revised, found.duplicates, found.quarantined])


def start(url: str, delta: str, file: Path) -> tuple[Any, Any]:
    answer, told = FORK.Pipe(duplex=False)
    process = FORK.Process(target=ingest, args=(url, delta, file, told))
    process.start()
    return process, answer


def finish(url: str, delta: str, file: Path) -> list[int]:
    process, answer = start(url, delta, file)
    assert answer.poll(90)
    found: list[int] = answer.recv()
    process.join(60)
    return found


def killed(url: str, delta: str, file: Path, kills: int, longest: float) -> int:
    generator, count = random.Random(7), 0
    for _ in range(kills):
        process, answer = start(url, delta, file)
        answer.poll(generator.uniform(0, longest))
        time.sleep(0.001)
        process.kill()
        process.join()
        count += process.exitcode == -9
    return count


def holds(url: str, delta: str, file: Path, records: int) -> None:
    """Read the file twice more: each id is there once, and every batch adds up."""
    broken = records // 1000
    read, stored, revised, duplicates, quarantined = finish(url, delta, file)
    assert (read, revised, quarantined) == (records, 0, broken)
    assert stored + duplicates == records - broken
    assert finish(url, delta, file) == [records, 0, 0, records - broken, broken]
    service = FeedbackService(Store.open(url), delta=delta)
    assert service.count("m") == records - broken
    assert service.status()["revised"] == 0
    table = feedback_batch.c
    adds_up = table.read == table.stored + table.revised + table.duplicates + table.quarantined
    with service.store.read() as connection:
        wrong = connection.execute(sa.select(sa.func.count()).where(~adds_up)).scalar_one()
    assert wrong == 0


@pytest.mark.slow
def test_killed_at_any_moment_each_record_is_in_the_table_once(tmp_path: Path) -> None:
    FORK.set_forkserver_preload(PRELOADED)
    url, delta = f"sqlite:///{tmp_path / 'ai.db'}", str(tmp_path / "delta")
    file = write_lines(tmp_path / "in.jsonl", range(20_000))
    Store.open(url)
    assert killed(url, delta, file, 10, longest=2) >= 6
    holds(url, delta, file, 20_000)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_killed_two_hundred_times_each_record_is_in_the_table_once(tmp_path: Path) -> None:
    FORK.set_forkserver_preload(PRELOADED)
    url, delta = f"sqlite:///{tmp_path / 'ai.db'}", str(tmp_path / "delta")
    file = write_lines(tmp_path / "in.jsonl", range(200_000))
    Store.open(url)
    assert killed(url, delta, file, 200, longest=6) >= 100
    holds(url, delta, file, 200_000)
