from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.feedback.lines import OUTCOME
from airflow_ai_provider.core.feedback.quick import Row, row_of
from airflow_ai_provider.core.feedback.record import FeedbackRecord
from airflow_ai_provider.services.feedback_delta import DeltaFeedback
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import FeedbackStore
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.feedback_sink import BatchCounts
from airflow_ai_provider.store.feedback_staging import CopyStage
from airflow_ai_provider.store.schema import feedback
from tests.feedback_lines import rows_of
from tests.stores import store_file, store_in_memory

APRIL = datetime(2013, 4, 1, tzinfo=timezone.utc)
REFUSED = ("/in/a.jsonl", "line 7", "0" * 64, "{", "it is no JSON")


class Staged:
    """A sink whose records wait where it keeps them itself, as those of a source do."""

    def __init__(self, sink: FeedbackStore) -> None:
        self._sink = sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def write_batch(self, pieces: Iterable[Sequence[Row]], *rest: Any, **more: Any) -> BatchCounts:
        stage = self._sink.stage()
        assert stage is not None
        with stage:
            for piece in pieces:
                stage.extend(piece)
                stage.extend([], weight=2**30)  # many bytes: they go where they wait
            return self._sink.write_batch(stage, *rest, **more)


@pytest.fixture(
    params=["memory", "sqlite", "postgresql", "postgresql, staged", "delta", "delta, staged"]
)
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FeedbackStore]:
    """Each place that feedback is kept in, empty: what one does every other does."""
    kind, _, staged = request.param.partition(", ")
    if kind == "postgresql":
        store = Store.open(request.getfixturevalue("postgres_store"))
    else:
        file = tmp_path / "ai.db"
        store = Store.open(store_file(file)) if kind == "sqlite" else store_in_memory()
    delta = DeltaFeedback(store, str(tmp_path / "delta")) if kind == "delta" else None
    found = delta or FeedbackStore(store)
    yield cast("FeedbackStore", Staged(found)) if staged else found
    store.close()


def record(feedback_id: str, *, day: int = 1, label: Any = 1, **more: Any) -> FeedbackRecord:
    more = {"model_name": "m", "prediction_id": f"p-{feedback_id}", "partition": "2013-04", **more}
    return FeedbackRecord(
        feedback_id=feedback_id, observed_at=APRIL.replace(day=day), label=label, **more
    )


def write(
    sink: FeedbackStore,
    *records: FeedbackRecord,
    quarantined: Sequence[Row] = (),
    run_key: str | None = None,
) -> BatchCounts:
    rows = [row_of(found) for found in records]
    return sink.write_batch([rows], [quarantined], sources=["/in/a.jsonl"], run_key=run_key)


def counts(found: BatchCounts) -> tuple[int, int, int, int, int]:
    return (found.read, found.stored, found.revised, found.duplicates, found.quarantined)


def test_the_same_again_adds_nothing(sink: FeedbackStore) -> None:
    a, b = record("a"), record("b")
    assert counts(write(sink, a, b)) == (2, 2, 0, 0, 0)
    assert counts(write(sink, b, a)) == (2, 0, 0, 2, 0)
    assert sink.totals()["stored"] == 2


def test_a_batch_that_repeats_itself_counts_right(sink: FeedbackStore) -> None:
    a, changed = record("a"), record("a", label=0)
    found = write(sink, a, a, changed, a, changed, record("b"))
    assert counts(found) == (6, 2, 1, 3, 0)
    assert found.news == {"m": 3}


def test_changed_content_is_a_revision_and_all_are_kept(sink: FeedbackStore) -> None:
    write(sink, record("a", day=1, label=1))
    assert counts(write(sink, record("a", day=2, label=0))) == (1, 0, 1, 0, 0)
    assert counts(write(sink, record("a", day=1, label=1))) == (1, 0, 0, 1, 0)
    totals = sink.totals()
    assert (totals["stored"], totals["revised"], totals["read"]) == (1, 1, 3)


def labels(sink: FeedbackStore, model: str = "m") -> dict[str, float]:
    rows = rows_of(OUTCOME, sink.outcomes(model))
    return {prediction: json.loads(label) for prediction, label, *_ in rows}


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_the_newest_revision_is_effective_in_whatever_order_they_come(
    sink: FeedbackStore, order: tuple[int, int]
) -> None:
    for day in order:
        write(sink, record("a", day=day, label=day))
    assert labels(sink) == {"p-a": 2.0}
    assert sink.count("m") == 1


def test_of_two_revisions_of_one_moment_the_later_arrival_is_effective(sink: FeedbackStore) -> None:
    write(sink, record("a", label=1), record("a", label=0))
    assert labels(sink) == {"p-a": 0.0}


def test_records_of_a_batch_are_numbered_as_they_arrive(sink: FeedbackStore) -> None:
    write(sink, record("z"))
    write(sink, record("y"), record("b"), record("z"), record("a"), record("c"))
    write(sink, record("0"))
    found = [(row[-1], row[0]) for row in rows_of(OUTCOME, sink.outcomes("m"))]
    assert [prediction for _, prediction in sorted(found)] == [
        "p-z",
        "p-y",
        "p-b",
        "p-a",
        "p-c",
        "p-0",
    ]


def test_a_revision_can_move_a_record_to_another_model_and_partition(sink: FeedbackStore) -> None:
    write(sink, record("a", day=1), record("b", day=1))
    write(sink, record("a", day=2, model_name="n"), record("b", day=2, partition="2013-05"))
    records = sink
    assert (records.count("m"), records.count("n")) == (1, 1)
    assert (records.count("m", "2013-04"), records.count("m", "2013-05")) == (0, 1)
    assert labels(sink) == {"p-b": 1.0}


def test_only_labels_that_are_numbers_and_name_a_prediction_are_outcomes(
    sink: FeedbackStore,
) -> None:
    write(
        sink,
        record("a", label="late"),
        record("b", label=None, score=4.0),
        record("c", prediction_id=None),
        record("d", label=True),
    )
    assert labels(sink) == {"p-d": 1.0}
    assert sink.count("m") == 4


def test_what_was_refused_is_kept_once_with_its_place_and_reason(sink: FeedbackStore) -> None:
    assert counts(write(sink, record("a"), quarantined=[REFUSED])) == (2, 1, 0, 0, 1)
    assert counts(write(sink, quarantined=[REFUSED])) == (1, 0, 0, 0, 1)
    (kept,) = sink.quarantine()
    assert (kept["source"], kept["place"], kept["raw"]) == ("/in/a.jsonl", "line 7", "{")
    assert kept["reason"] == "it is no JSON"
    assert sink.totals()["quarantined"] == 1


def test_an_empty_batch_is_a_batch(sink: FeedbackStore) -> None:
    assert counts(write(sink)) == (0, 0, 0, 0, 0)
    assert sink.totals()["batches"] == 1


def test_a_batch_that_breaks_is_not_there(sink: FeedbackStore) -> None:
    def pieces() -> Iterator[list[Row]]:
        yield [row_of(record("a"))]
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        sink.write_batch(pieces(), [], sources=["x"])
    totals = sink.totals()
    assert (totals["stored"], totals["batches"]) == (0, 0)


def test_what_a_task_added_is_known_over_its_retries(sink: FeedbackStore) -> None:
    write(sink, record("a"), record("b", model_name="n"), run_key="task")
    write(sink, record("a"), record("b", model_name="n"), run_key="task")
    write(sink, record("c"), run_key="other")
    assert sink.news("task") == {"m": 1, "n": 1}
    assert sink.news("nobody") == {}


def test_a_record_comes_back_as_it_went(store: Store) -> None:
    told = record(
        "a",
        label="späte ✈",
        value=0.1,
        score=4.5,
        comment="'; DROP TABLE feedback; --\n\x01",
        attributes={"carrier": "UA", "stops": [1, None]},
    )
    write(FeedbackStore(store), told)
    with store.read() as connection:
        row = connection.execute(sa.select(feedback)).one()
    assert row.observed_at == told.observed_at
    assert (row.label, row.label_number) == ('"späte ✈"', None)
    assert (row.value, row.score, row.comment) == (0.1, 4.5, told.comment)
    assert row.attributes == '{"carrier":"UA","stops":[1,null]}'
    assert row.content_hash == told.content_hash


def test_totals_are_told_per_model(sink: FeedbackStore) -> None:
    write(sink, record("a"), record("b"), record("c", model_name="n"))
    totals = sink.totals()
    assert totals["models"] == {"m": 2, "n": 1}
    assert totals["last_ingested_at"].tzinfo is not None


def test_ids_that_come_twice_are_known_to_the_server_too(postgres_store: str) -> None:
    store = Store.open(postgres_store)
    rows = [row_of(record(f"{n % 1500}", label=n // 2000)) for n in range(2500)]
    for hashed in (0, 100, 5000):
        with CopyStage(store, hashed=hashed) as stage:
            for start in range(0, 2500, 50):
                stage.extend(rows[start : start + 50])
            found = FeedbackStore(store).write_batch(stage, [], sources=["x"])
        expected = (2500, 1500, 500, 500, 0) if hashed == 0 else (2500, 0, 0, 2500, 0)
        assert counts(found) == expected
    store.close()


def test_what_nobody_writes_is_not_there(postgres_store: str) -> None:
    store = Store.open(postgres_store)
    with CopyStage(store) as stage:
        stage.extend([row_of(record("a"))], weight=2**30)
    assert FeedbackStore(store).totals()["stored"] == 0
    assert write(FeedbackStore(store), record("a")).stored == 1  # nothing holds it up
    store.close()


def test_a_point_of_the_series_is_replaced(store: Store) -> None:
    series = MetricSeries(store)
    point = {
        "model_name": "m",
        "model_version": "1",
        "partition": "2013-04",
        "slice": "",
        "metric": "gap",
        "value": 0.1,
        "low": 0.0,
        "high": 0.2,
        "n": 10,
    }
    cut = {**point, "slice": "carrier=UA", "low": None, "high": None}
    series.write([point, cut])
    series.write([{**point, "value": 0.3, "n": 12}])
    series.write([])
    (found,) = series.read("m", metric="gap")
    assert (found["value"], found["low"], found["n"]) == (0.3, 0.0, 12)
    assert len(series.read("m", slice_=None)) == 2
    assert series.read("n") == []
