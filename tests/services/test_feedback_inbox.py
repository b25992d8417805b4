"""Records that are sent by many at once, and a sink that fills up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.errors import StoreError
from airflow_ai_provider.core.feedback.source import SourceRecord
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.services.feedback_inbox import Inbox, Outcome
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import feedback_batch


def sent(number: int, **changes: Any) -> SourceRecord:
    whole = {"feedback_id": f"f{number}", "model_name": "m", "observed_at": "2013-06-10T00:00:00Z"}
    document = {**whole, "score": 4, **changes}
    return SourceRecord("record 1", document, document)


def test_each_record_is_answered_in_its_place(store: Store) -> None:
    inbox = Inbox(FeedbackService(store))
    records = [sent(1), sent(2, score=9), sent(1), sent(1, score=5), sent(3)]
    batch, answers = inbox.take("http", records)
    outcomes = [answer.outcome for answer in answers]
    assert outcomes == [
        Outcome.STORED, Outcome.QUARANTINED, Outcome.DUPLICATE, Outcome.REVISED, Outcome.STORED
    ]  # fmt: skip
    assert answers[1].reason == "score must lie between 1 and 5, this is 9"
    _, again = inbox.take("http", records)
    assert [a.outcome for a in again].count(Outcome.DUPLICATE) == 4
    assert batch == 1


def test_many_who_send_at_once_are_written_together_and_each_record_once(store: Store) -> None:
    inbox = Inbox(FeedbackService(store))

    def send(number: int) -> list[Outcome]:
        # each record is sent by four senders, once with other content
        record = sent(number // 4, score=3 if number % 4 == 3 else 4)
        return [answer.outcome for answer in inbox.take("http", [record])[1]]

    with ThreadPoolExecutor(16) as pool:
        told = Counter(outcome for outcomes in pool.map(send, range(400)) for outcome in outcomes)
    assert told == {Outcome.STORED: 100, Outcome.REVISED: 100, Outcome.DUPLICATE: 200}
    assert (status := FeedbackService(store).status())["stored"] == 100
    assert status["revised"] == 100
    table = feedback_batch.c
    with store.read() as connection:
        batches, read = connection.execute(
            sa.select(sa.func.count(), sa.func.sum(table.read))
        ).one()
    assert read == 400
    assert batches <= 400


def test_a_store_that_refuses_is_told_to_every_sender(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'ai.db'}")
    inbox = Inbox(FeedbackService(store))
    with store.write() as connection:
        connection.exec_driver_sql("DROP TABLE feedback")
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(inbox.take, "http", [sent(number)]) for number in range(8)]
    assert all(isinstance(future.exception(), StoreError) for future in futures)


FULL = """
import json, resource, sys
from airflow_ai_provider.core.errors import AirflowAiError
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.store.engine import Store
service = FeedbackService(Store.open(sys.argv[1]))
def disk(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
disk(int(sys.argv[3]))
try:
    service.ingest(sys.argv[2])
    told = None
except AirflowAiError as error:
    told = [type(error).__name__, str(error)]
disk(resource.RLIM_INFINITY)
left = service.status()
print(json.dumps([told, left["stored"], left["batches"], service.ingest(sys.argv[2]).stored]))
"""


@pytest.mark.parametrize(
    ("room", "comment", "name"),
    [
        (1_500_000, 500, "StoreUnavailableError"),  # the spool fits, the store's log does not
        (1_500_000, 5000, "FeedbackError"),  # the spool does not fit
    ],
)
def test_a_disk_that_fills_up_is_named_and_nothing_is_there(
    tmp_path: Path, room: int, comment: int, name: str
) -> None:
    file = tmp_path / "in.jsonl"
    documents = (sent(n, comment="x" * comment).document for n in range(6000))
    file.write_text("".join(json.dumps(document) + "\n" for document in documents))
    done = subprocess.run(
        [sys.executable, "-c", FULL, f"sqlite:///{tmp_path / 'ai.db'}", str(file), str(room)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told, stored, batches, later = json.loads(done.stdout)
    assert told is not None
    assert told[0] == name
    assert "full" in told[1] or "disk I/O" in told[1]
    assert (stored, batches, later) == (0, 0, 6000)
