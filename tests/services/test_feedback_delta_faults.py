"""Killed while it writes into a Delta table: each record stays exactly once."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.adapters.delta import DeltaTable
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


def ingest(url: str, delta: str, files: list[Path], told: Any) -> None:
    found = FeedbackService(Store.open(url), delta=delta).ingest(files)
    told.send([found.read, found.stored, found.revised, found.duplicates, found.quarantined])


def start(url: str, delta: str, files: list[Path]) -> tuple[Any, Any]:
    answer, told = FORK.Pipe(duplex=False)
    process = FORK.Process(target=ingest, args=(url, delta, files, told))
    process.start()
    return process, answer


def finish(url: str, delta: str, files: list[Path]) -> list[int]:
    process, answer = start(url, delta, files)
    assert answer.poll(120)
    found: list[int] = answer.recv()
    process.join(60)
    return found


def written(delta: str) -> set[str]:
    """The files of the table, those that are being written too."""
    return {name for _, _, names in os.walk(delta) for name in names}


def killed(url: str, delta: str, large: Path, kills: int, longest: float) -> list[Path]:
    """Kill that many ingests and return the files that they were to read, a new one each.

    Every second one dies in the middle of its commit: within 50 ms of the first file it writes.
    """
    generator, count, files = random.Random(7), 0, [large]
    for kill in range(kills):
        first = 1_000_000 + 1000 * kill
        files.append(write_lines(large.with_name(f"{kill}.jsonl"), range(first, first + 100)))
        before = written(delta)
        process, answer = start(url, delta, [large, files[-1]])
        if kill % 2:
            while process.is_alive() and written(delta) == before:
                time.sleep(0.002)
            time.sleep(generator.uniform(0, 0.05))
        else:
            answer.poll(generator.uniform(0, longest))
        process.kill()
        process.join()
        answer.close()
        count += process.exitcode == -9
    print(f"{count} of {kills} killed, {version(delta)} of them with their commit done")
    assert count >= kills // 2
    return files


def version(delta: str) -> int:
    found = DeltaTable(delta).version()
    return 0 if found is None else found + 1


def holds(url: str, delta: str, files: list[Path], records: int) -> None:
    """Read all twice more: each id is there once, and every batch adds up."""
    broken, total = records // 1000, records + 100 * (len(files) - 1)
    read, stored, revised, duplicates, quarantined = finish(url, delta, files)
    assert (read, revised, quarantined) == (total, 0, broken)
    assert stored + duplicates == total - broken
    assert finish(url, delta, files) == [total, 0, 0, total - broken, broken]
    service = FeedbackService(Store.open(url))
    status = service.status()
    assert (status["models"], status["revised"]) == ({"m": total - broken}, 0)
    with DeltaTable(delta).reading(("feedback_id",)) as connection:
        [(rows, ids)] = connection.execute(
            "SELECT count(*), count(DISTINCT feedback_id) FROM feedback"
        ).fetchall()
    assert rows == ids == total - broken
    table = feedback_batch.c
    adds_up = table.read == table.stored + table.revised + table.duplicates + table.quarantined
    with service.store.read() as connection:
        wrong = connection.execute(sa.select(sa.func.count()).where(~adds_up)).scalar_one()
    assert wrong == 0


def each_is_there_once(folder: Path, records: int, kills: int, longest: float) -> None:
    FORK.set_forkserver_preload(PRELOADED)
    url, delta = f"sqlite:///{folder / 'ai.db'}", str(folder / "delta")
    large = write_lines(folder / "in.jsonl", range(records))
    Store.open(url)
    holds(url, delta, killed(url, delta, large, kills, longest), records)


@pytest.mark.slow
def test_killed_at_any_moment_each_record_is_in_the_table_once(tmp_path: Path) -> None:
    each_is_there_once(tmp_path, 20_000, 10, longest=2)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_killed_two_hundred_times_each_record_is_in_the_table_once(tmp_path: Path) -> None:
    each_is_there_once(tmp_path, 200_000, 200, longest=6)
