"""Records that are sent by many at once, and a sink that fills up."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.errors import StoreError
from airflow_ai_provider.core.feedback.source import SourceRecord
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.services.feedback_inbox import Outcome, Parcel, take_parcels
from airflow_ai_provider.services.together import Together
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import feedback_batch


def sent(number: int, **changes: Any) -> SourceRecord:
    whole = {"feedback_id": f"f{number}", "model_name": "m", "observed_at": "2013-06-10T00:00:00Z"}
    document = {**whole, "score": 4, **changes}
    return SourceRecord("record 1", document, document)


def take(store: Store, *records: SourceRecord) -> Parcel:
    parcel = Parcel("http", records)
    take_parcels(FeedbackService(store), [parcel])
    return parcel


def test_each_record_is_answered_in_its_place(store: Store) -> None:
    records = [sent(1), sent(2, score=9), sent(1), sent(1, score=5), sent(3)]
    parcel = take(store, *records)
    outcomes = [answer.outcome for answer in parcel.answers]
    assert outcomes == [
        Outcome.STORED, Outcome.QUARANTINED, Outcome.DUPLICATE, Outcome.REVISED, Outcome.STORED
    ]  # fmt: skip
    assert parcel.answers[1].reason == "score must lie between 1 and 5, this is 9"
    again = take(store, *records)
    assert [a.outcome for a in again.answers].count(Outcome.DUPLICATE) == 4
    assert (parcel.batch, again.batch) == (1, 2)


def test_who_brings_nothing_makes_no_batch(store: Store) -> None:
    assert take(store).batch is None
    assert take(store, sent(1)).batch == 1


def test_many_who_send_at_once_are_written_together_and_each_record_once(store: Store) -> None:
    service = FeedbackService(store)

    def work(asked: Sequence[SourceRecord]) -> list[Outcome | BaseException]:
        parcels = [Parcel("http", [record]) for record in asked]
        take_parcels(service, parcels)
        return [parcel.answers[0].outcome for parcel in parcels]

    together = Together(work)

    async def send_all() -> list[Outcome]:
        # each record is sent by four senders, once with other content
        records = [sent(n // 4, score=3 if n % 4 == 3 else 4) for n in range(400)]
        return await asyncio.gather(*[together.ask(record) for record in records])

    told = Counter(asyncio.run(send_all()))
    assert told == {Outcome.STORED: 100, Outcome.REVISED: 100, Outcome.DUPLICATE: 200}
    assert (status := service.status())["stored"] == 100
    assert status["revised"] == 100
    table = feedback_batch.c
    with store.read() as connection:
        batches, read = connection.execute(
            sa.select(sa.func.count(), sa.func.sum(table.read))
        ).one()
    assert read == 400
    assert batches < 400


def test_a_store_that_refuses_is_told_to_every_sender(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'ai.db'}")
    with store.write() as connection:
        connection.exec_driver_sql("DROP TABLE feedback")
    with pytest.raises(StoreError):
        take(store, sent(1))


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
    documents = (sent(n, comment=f"{n}" + "x" * comment).document for n in range(6000))
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
