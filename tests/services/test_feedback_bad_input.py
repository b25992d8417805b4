"""Bad input on every sink: an error that names it, and a batch that is whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.adapters.feedback_file_source import FileSource
from airflow_ai_provider.core.errors import (
    AirflowAiError,
    FeedbackError,
    FeedbackSinkError,
    FeedbackSourceError,
    FeedbackSourceLostError,
    StoreUnavailableError,
)
from airflow_ai_provider.core.feedback.source import Position, SourceRecord
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import feedback_batch
from tests.object_store import BUCKET, Bucket, object_store
from tests.stores import store_file

FILL = """
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.feedback_id = 'f700' THEN
        RAISE EXCEPTION 'could not extend file "base/16384/2619": No space left on device'
            USING ERRCODE = 'disk_full';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fill BEFORE INSERT ON feedback FOR EACH ROW EXECUTE FUNCTION fill();
"""


@dataclass
class Sink:
    """A place that feedback goes to, how it is made full, and what that is called."""

    service: FeedbackService
    fill: Callable[[], None]
    empty: Callable[[], None]
    error: type[AirflowAiError]
    says: str
    bucket: Bucket = field(default_factory=Bucket)

    @property
    def there(self) -> tuple[int, int, int]:
        found = self.service.status()
        return found["stored"], found["quarantined"], found["batches"]


@pytest.fixture(params=["sqlite", "postgresql", "delta"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sink]:
    if request.param == "postgresql":
        store = Store.open(request.getfixturevalue("postgres_store"))
        yield Sink(
            FeedbackService(store),
            lambda: on_server(store, FILL),
            lambda: on_server(store, "DROP TRIGGER fill ON feedback"),
            StoreUnavailableError,
            "No space left on device",
        )
        store.close()
        return
    store = Store.open(store_file(tmp_path / "ai.db"))
    if request.param == "sqlite":
        limit = Pages(store)
        full = "database or disk is full"
        service = FeedbackService(store)
        yield Sink(service, limit.fill, limit.empty, StoreUnavailableError, full)
        store.close()
        return
    with object_store() as bucket:
        address = f"s3://{BUCKET}/feedback"
        service = FeedbackService(store, delta=address, delta_options=bucket.options)

        def refuse() -> None:
            bucket.refuses = lambda key: 403 if "_delta_log" in key else None

        def accept() -> None:
            bucket.refuses = lambda _key: None

        yield Sink(service, refuse, accept, FeedbackSinkError, address, bucket)
    store.close()


def on_server(store: Store, statements: str) -> None:
    with store.write() as connection:
        connection.exec_driver_sql(statements)


class Pages:
    """The pages that a SQLite file may have, which its every connection is told."""

    def __init__(self, store: Store) -> None:
        self._store, self._most = store, 2**30
        sa.event.listen(store.engine, "begin", self._limit)

    def _limit(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={self._most}")

    def fill(self) -> None:
        with self._store.read() as connection:
            self._most = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + 20

    def empty(self) -> None:
        self._most = 2**30


def lines(file: Path, *numbers: int, broken: bool = False) -> Path:
    told = {"model_name": "m", "observed_at": "2013-06-10T00:00:00Z", "comment": "x" * 200}
    with file.open("w") as stream:
        for n in numbers:
            stream.write(json.dumps({"feedback_id": f"f{n}", "score": 4, **told}) + "\n")
        stream.write("{\n" if broken else "")
    return file


def test_a_source_that_shrinks_is_named(sink: Sink, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = lines(tmp_path / "in" / "a.jsonl", 1, 2, 3)
    sink.service.ingest(tmp_path / "in")
    before = sink.there
    lines(file, 1)
    lines(tmp_path / "in" / "b.jsonl", 9)
    with pytest.raises(FeedbackSourceError, match=r"a\.jsonl shrank: \d+ bytes of it were read"):
        sink.service.ingest(tmp_path / "in")
    assert sink.there == before == (3, 0, 1)
    file.unlink()
    assert sink.service.ingest(tmp_path / "in").stored == 1


class Meddling:
    """A source that has another's file changed when it is read."""

    name = "meddling"

    def __init__(self, change: Callable[[], Any]) -> None:
        self._change = change

    def read(self, position: Position | None) -> Iterator[SourceRecord]:
        del position
        self._change()
        yield SourceRecord("1", b"{", None, problem="it is no JSON")

    def position(self) -> Position | None:
        return None


def test_a_file_that_changes_after_it_was_read_is_named(sink: Sink, tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", 1, 2)
    changes = [lambda: lines(file, 7, 8), lambda: lines(file, 1), file.unlink]
    for change in changes:
        with pytest.raises(FeedbackSourceLostError, match=r"a\.jsonl changed while it was read"):
            sink.service.ingest_from([FileSource(file), Meddling(change)])
        assert sink.there == (0, 0, 0)
        lines(file, 1, 2)
        os.utime(file, (1, 1))
    assert sink.service.ingest(file).stored == 2


def test_a_clock_that_goes_back_is_named(sink: Sink, tmp_path: Path) -> None:
    sink.service.ingest(lines(tmp_path / "a.jsonl", 1))
    with sink.service.store.write() as connection:
        later = datetime.now(timezone.utc) + timedelta(hours=1)
        connection.execute(feedback_batch.update().values(created_at=later))
    file = lines(tmp_path / "b.jsonl", 2, broken=True)
    with pytest.raises(FeedbackError, match=r"The clock went back: it says .* written at"):
        sink.service.ingest(file)
    assert sink.there == (1, 0, 1)
    found = sink.service.ingest(file, clock_may_go_back=True)
    assert (found.stored, found.quarantined, sink.there) == (1, 1, (2, 1, 2))


def test_a_sink_that_fills_up_is_named(sink: Sink, tmp_path: Path) -> None:
    sink.service.ingest(lines(tmp_path / "a.jsonl", 1, 2))
    file = lines(tmp_path / "b.jsonl", *range(1500), broken=True)
    sink.fill()
    with pytest.raises(sink.error, match=sink.says):
        sink.service.ingest(file)
    assert sink.there == (2, 0, 1)
    sink.empty()
    found = sink.service.ingest(file)
    assert (found.stored, found.duplicates, found.quarantined) == (1498, 2, 1)
    assert sink.there == (1500, 1, 2)


def test_an_object_store_that_takes_nothing_at_all_is_named(tmp_path: Path) -> None:
    store = Store.open(store_file(tmp_path / "ai.db"))
    with object_store() as bucket:
        address = f"s3://{BUCKET}/feedback"
        service = FeedbackService(store, delta=address, delta_options=bucket.options)
        bucket.refuses = lambda _key: 403
        file = lines(tmp_path / "a.jsonl", 1, 2)
        with pytest.raises(FeedbackSinkError, match=address):
            service.ingest(file)
        assert not bucket.objects
        assert service.status()["batches"] == 0
        bucket.refuses = lambda _key: None
        assert service.ingest(file).stored == 2
        assert FeedbackService(store, delta_options=bucket.options).count("m") == 2
