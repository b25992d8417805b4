"""Folders, CSV, databases and sources of a user's own, behind the one port."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.adapters.feedback_folder import is_being_written
from airflow_ai_provider.adapters.feedback_sql import SqlFeedback
from airflow_ai_provider.adapters.sql_tables import SqlSource
from airflow_ai_provider.core.errors import (
    FeedbackError,
    FeedbackSourceError,
    FeedbackSourceLostError,
)
from airflow_ai_provider.core.feedback.comments import Comments
from airflow_ai_provider.core.feedback.source import Position, SourceRecord
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.services.feedback_settings import FeedbackSettings
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_sink import BatchCounts
from airflow_ai_provider.store.schema import feedback, feedback_batch
from tests.stores import store_in_memory

MOMENT = "2013-06-10T00:00:00Z"


def told(number: int, **changes: Any) -> dict[str, Any]:
    return {"feedback_id": f"f{number}", "model_name": "m", "observed_at": MOMENT, **changes}


def lines(path: Path, *numbers: int, **changes: Any) -> Path:
    documents = (told(number, **{"score": 4, **changes}) for number in numbers)
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


def counts(found: BatchCounts) -> tuple[int, int, int, int, int]:
    return (found.read, found.stored, found.revised, found.duplicates, found.quarantined)


@pytest.fixture
def service() -> Iterator[FeedbackService]:
    store = store_in_memory()
    yield FeedbackService(store)
    store.close()


# --- folders and globs


def test_a_folder_is_read_file_by_file_once(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    (tmp_path / "in" / "deep").mkdir(parents=True)
    lines(tmp_path / "in" / "a.jsonl", 1, 2)
    lines(tmp_path / "in" / "deep" / "b.jsonl", 3)
    (tmp_path / "in" / "notes.txt").write_text("no feedback")
    assert counts(service.ingest(tmp_path / "in")) == (3, 3, 0, 0, 0)
    assert counts(service.ingest(tmp_path / "in")) == (0, 0, 0, 0, 0)
    lines(tmp_path / "in" / "c.jsonl", 4)
    assert counts(service.ingest(f"{tmp_path}/in/*.jsonl")) == (1, 1, 0, 0, 0)
    assert counts(service.ingest(tmp_path / "in" / "a.jsonl")) == (2, 0, 0, 2, 0)


def test_a_file_that_is_being_written_is_left_for_the_next_time(
    service: FeedbackService, tmp_path: Path
) -> None:
    done = lines(tmp_path / "done.jsonl", 1)
    for name in (".hidden.jsonl", "_part.jsonl", "more.jsonl.tmp", "more.jsonl.partial"):
        lines(tmp_path / name, 2)
    with (tmp_path / "open.jsonl").open("w") as stream:
        stream.write(json.dumps(told(3, score=1)) + "\n")
        stream.flush()
        assert is_being_written(tmp_path / "open.jsonl")
        assert not is_being_written(done)
        assert counts(service.ingest(f"{tmp_path}/*")) == (1, 1, 0, 0, 0)
    assert counts(service.ingest(f"{tmp_path}/*")) == (1, 1, 0, 0, 0)


def test_a_watched_file_that_grew_is_read_on(service: FeedbackService, tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", 1, 2)
    service.ingest(tmp_path)
    with file.open("a") as stream:
        stream.write(json.dumps(told(3, score=1)) + "\n")
    assert counts(service.ingest(tmp_path)) == (3, 1, 0, 2, 0)


@pytest.mark.parametrize("numbers", [(1,), (7, 8), (7, 8, 9)])
def test_a_watched_file_that_shrank_or_changed_is_named(
    store: Store, tmp_path: Path, numbers: tuple[int, ...]
) -> None:
    service = FeedbackService(store)
    file = lines(tmp_path / "a.jsonl", 1, 2)
    service.ingest(tmp_path)
    lines(tmp_path / "b.jsonl", 5)
    lines(file, *numbers)
    os.utime(file, (1, 1))
    with pytest.raises(FeedbackSourceError, match=r"a\.jsonl (shrank|changed)"):
        service.ingest(tmp_path)
    assert service.status()["batches"] == 1
    service.ingest(file)  # by name it is taken as it is
    assert counts(service.ingest(tmp_path)) == (1, 1, 0, 0, 0)


class Meddling:
    """A source that changes another's file when it is read."""

    name = "meddling"

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self, position: Position | None) -> Iterator[SourceRecord]:
        del position
        lines(self._file, 9)
        yield SourceRecord("1", {}, told(77, score=2))

    def position(self) -> Position | None:
        return None


def test_a_file_that_changes_after_it_was_read_leaves_no_batch(
    service: FeedbackService, tmp_path: Path
) -> None:
    from airflow_ai_provider.adapters.feedback_file_source import FileSource

    file = lines(tmp_path / "a.jsonl", 1, 2)
    with pytest.raises(FeedbackSourceLostError, match=r"a\.jsonl changed while it was read"):
        service.ingest_from([FileSource(file), Meddling(file)])
    assert service.status()["batches"] == 0


def test_a_name_that_is_no_text_is_kept_readable(store: Store, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"\xff.jsonl")
    file.write_bytes(b"broken\n")
    assert counts(FeedbackService(store).ingest(str(file))) == (1, 0, 0, 0, 1)


# --- CSV


def test_a_csv_file_says_the_same_as_json(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    json_file = tmp_path / "a.jsonl"
    documents = [
        told(1, score=4.5, comment='a, "b"\nc'),
        told(2, label=True, attributes={"stops": 2}),
        told(3, label="007", carrier="UA"),
        told(4, value=-1.5e-3),
    ]
    json_file.write_text("\n".join(map(json.dumps, documents)))
    service.ingest(json_file)
    file = tmp_path / "a.csv"
    file.write_bytes(
        b"\xef\xbb\xbffeedback_id,model_name,observed_at,label,value,score,comment,carrier,attributes\r\n"
        b'f1,m,2013-06-10T00:00:00Z,,,4.5,"a, ""b""\nc",,\r\n'
        b'f2,m,2013-06-10T00:00:00Z,true,,,,,"{""stops"": 2}"\r\n'
        b"f3,m,2013-06-10T00:00:00Z,007,,,,UA,\r\n"
        b"\r\n"
        b"f4,m,2013-06-10T00:00:00Z,,-1.5e-3,,,,\r\n"
    )
    assert counts(service.ingest(file)) == (4, 0, 0, 4, 0)


def test_a_csv_row_that_is_none_is_refused_and_the_next_is_read(
    service: FeedbackService, tmp_path: Path
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(
        b"feedback_id;model_name;observed_at;score\n"
        b"f1;m;2013-06-10T00:00:00Z;4;5\n"
        b'"f2;m;2013-06-10T00:00:00Z;4\n'
        b"f3;m;2013-06-10T00:00:00Z;4\n"
        b"f\xff;m;2013-06-10T00:00:00Z;4\n"
        b"f5;m;2013-06-10T00:00:00Z;four\n"
    )
    assert counts(service.ingest(file)) == (5, 1, 0, 0, 4)
    kept = {row["place"]: row["reason"] for row in service.records.quarantine()}
    assert kept["line 2"] == "it has 5 cells where the header has 4"
    assert "no row of CSV" in kept["line 3"]
    assert kept["line 5"] == "it is no UTF-8 text"
    assert kept["line 6"] == "score must be a number, this is a text"


@pytest.mark.parametrize("header", [b"a,a\n1,2\n", b"\xff,b\n", b"\n1\n", b'"a,b\n1,2\n'])
def test_a_csv_file_without_a_header_is_an_error(
    service: FeedbackService, tmp_path: Path, header: bytes
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(header)
    with pytest.raises(FeedbackSourceError, match="no header"):
        service.ingest(file)


# --- a database


@pytest.fixture
def reviews(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'reviews.db'}"
    change(url, "CREATE TABLE reviews (id INTEGER, stars REAL, at TEXT, changed INTEGER)")
    add(url, (1, 4.0, MOMENT, 10), (2, 5.0, MOMENT, 20), (3, 3.0, MOMENT, 20))
    return url


def change(url: str, statement: str, *rows: tuple[Any, ...]) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement, list(rows) or None)
    engine.dispose()


def add(url: str, *rows: tuple[Any, ...]) -> None:
    change(url, "INSERT INTO reviews VALUES (?, ?, ?, ?)", *rows)


MAPPING = {"feedback_id": "id", "score": "stars", "observed_at": "at"}


def read_reviews(service: FeedbackService, url: str, **changes: Any) -> BatchCounts:
    source = SqlFeedback(SqlSource(url=url, **{"table": "reviews", **changes}), watermark="changed")
    return service.ingest_from([source], mapping=MAPPING, model_name="m")


@pytest.mark.parametrize(
    "changes", [{}, {"table": None, "query": "SELECT id, stars, at, changed FROM reviews"}]
)
def test_rows_are_read_from_the_watermark_on(
    service: FeedbackService, reviews: str, changes: dict[str, Any]
) -> None:
    assert counts(read_reviews(service, reviews, **changes)) == (3, 3, 0, 0, 0)
    assert counts(read_reviews(service, reviews, **changes)) == (2, 0, 0, 2, 0)
    add(reviews, (4, 1.0, MOMENT, 20), (5, 9.0, MOMENT, 30), (6, 2.0, MOMENT, None))
    assert counts(read_reviews(service, reviews, **changes)) == (5, 1, 0, 2, 2)
    reasons = {row["reason"] for row in service.records.quarantine()}
    assert reasons == {"its changed is empty", "score must lie between 1 and 5, this is 9"}


def test_a_table_that_shrank_below_the_watermark_is_named(
    service: FeedbackService, reviews: str
) -> None:
    read_reviews(service, reviews)
    change(reviews, "DELETE FROM reviews WHERE changed = 20")
    with pytest.raises(FeedbackSourceError, match=r"reviews went back: changed was 20, .* is 10"):
        read_reviews(service, reviews)


def test_a_table_that_is_not_there_is_named(service: FeedbackService, reviews: str) -> None:
    with pytest.raises(FeedbackSourceLostError, match="no_such"):
        read_reviews(service, reviews, table="no_such")
    with pytest.raises(FeedbackSourceError):
        source = SqlFeedback(SqlSource(url=reviews, table="reviews"), watermark="none")
        service.ingest_from([source])


def test_a_server_keeps_the_watermark_as_a_moment(postgres_url: str) -> None:
    change(postgres_url, "CREATE TABLE reviews (id TEXT, stars NUMERIC, at TIMESTAMP)")
    change(postgres_url, "INSERT INTO reviews VALUES ('a', 4, '2013-06-10 12:00:00')")
    with store_in_memory().read():
        service = FeedbackService(store_in_memory())
    where = SqlSource(
        url=postgres_url.replace("postgresql://", "postgresql+psycopg://"), table="reviews"
    )
    naive = SqlFeedback(where, watermark="at")
    assert counts(service.ingest_from([naive], mapping=MAPPING, model_name="m"))[4] == 1
    zoned = SqlFeedback(where, watermark="at", time_zone="America/New_York")
    assert counts(service.ingest_from([zoned], mapping=MAPPING, model_name="m")) == (1, 1, 0, 0, 0)
    with service.store.read() as connection:
        row = connection.execute(sa.select(feedback)).one()
    assert row.observed_at == datetime(2013, 6, 10, 16, tzinfo=timezone.utc)
    assert row.score == 4


# --- comments, clocks and a user's own source


@pytest.mark.parametrize(
    ("comments", "kept"),
    [
        (Comments.KEEP, "call me"),
        (Comments.DROP, None),
        (Comments.HASH, f"sha256:{hashlib.sha256(b'call me').hexdigest()}"),
    ],
)
def test_comments_are_kept_as_the_setting_says(
    tmp_path: Path, comments: Comments, kept: str | None
) -> None:
    store = store_in_memory()
    service = FeedbackService(store, FeedbackSettings(feedback_comments=comments))
    file = lines(tmp_path / "a.jsonl", 1, comment="call me")
    with file.open("a") as stream:
        stream.write(json.dumps(told(2, comment="call me")) + "\n" + '{"comment": "call me"\n')
    assert counts(service.ingest(file)) == (3, 1, 0, 0, 2)
    assert counts(service.ingest(file)) == (3, 0, 0, 1, 2)
    with store.read() as connection:
        found = connection.execute(sa.select(feedback.c.comment)).scalar_one()
    assert found == kept
    raws = [row["raw"] for row in service.records.quarantine()]
    assert all(("call me" in raw) is (comments is Comments.KEEP) for raw in raws)


def test_a_clock_that_went_back_is_named(store: Store, tmp_path: Path) -> None:
    service = FeedbackService(store)
    service.ingest(lines(tmp_path / "a.jsonl", 1))
    with store.write() as connection:
        later = datetime(2999, 1, 1, tzinfo=timezone.utc)
        connection.execute(feedback_batch.update().values(created_at=later))
    file = lines(tmp_path / "b.jsonl", 2)
    with pytest.raises(FeedbackError, match="The clock went back"):
        service.ingest(file)
    assert service.status()["stored"] == 1
    assert counts(service.ingest(file, clock_may_go_back=True)) == (1, 1, 0, 0, 0)
    assert counts(service.ingest(file)) == (1, 0, 0, 1, 0)


class Numbers:
    """A source as a user would write one."""

    name = "numbers://five"

    def __init__(self) -> None:
        self.asked: list[Position | None] = []

    def read(self, position: Position | None) -> Iterator[SourceRecord]:
        self.asked.append(position)
        first = position["next"] if position else 0
        self._next = first + 5
        for number in range(first, self._next):
            yield SourceRecord(f"number {number}", number, told(number, value=number))

    def position(self) -> Position | None:
        return {"next": self._next}


def test_a_source_of_the_users_own_goes_on_where_it_was(store: Store) -> None:
    service, source = FeedbackService(store), Numbers()
    for _ in range(3):
        assert counts(service.ingest_from([source])) == (5, 5, 0, 0, 0)
    assert source.asked == [None, {"next": 5}, {"next": 10}]


def test_a_position_is_not_kept_without_the_batch(store: Store, tmp_path: Path) -> None:
    service, source = FeedbackService(store), Numbers()

    def fail(*_: Any) -> None:
        raise FeedbackError("the disk is full")

    with pytest.raises(FeedbackError):
        service.ingest_from([source], first=fail)
    assert counts(service.ingest_from([source])) == (5, 5, 0, 0, 0)
    assert source.asked == [None, None]
