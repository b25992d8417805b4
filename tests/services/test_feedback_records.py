"""Feedback is read with the same answers from the store, from a Delta table, and from both."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.cli import main
from airflow_ai_provider.core.errors import FeedbackSinkError
from airflow_ai_provider.core.feedback.exceptions import Asking
from airflow_ai_provider.core.feedback.lines import OUTCOME, SAID
from airflow_ai_provider.core.feedback.parse import parse
from airflow_ai_provider.core.feedback.quick import Row, row_of
from airflow_ai_provider.services.exceptions import ExceptionService, Search
from airflow_ai_provider.services.feedback import FeedbackService, write_predictions
from airflow_ai_provider.services.feedback_forget import export, forget
from airflow_ai_provider.services.feedback_status import feedback_status
from airflow_ai_provider.services.live_metrics import measure_live
from airflow_ai_provider.services.predictions import make_training_set
from airflow_ai_provider.services.promotion.life import StoreLife
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_records import FeedbackRecords
from tests.feedback_lines import rows_of as rows_read
from tests.stores import store_in_memory

MOMENT = datetime(2026, 6, 10, 12, tzinfo=timezone.utc)
NOON = MOMENT.isoformat()


def rows_of(documents: Sequence[dict[str, Any]]) -> list[Row]:
    return [
        row_of(parse({"model_name": "m", "observed_at": NOON, **document}))
        for document in documents
    ]


def put(service: FeedbackService, documents: Sequence[dict[str, Any]]) -> None:
    service.records.write_batch([rows_of(documents)], [], sources=["x"])


def document(number: int, more: dict[str, Any]) -> dict[str, Any]:
    """A record; an id that comes again is a later revision, perhaps of another model."""
    moment = MOMENT + timedelta(minutes=number)
    return {"observed_at": moment.isoformat(), **more}


said = st.lists(
    st.fixed_dictionaries(
        {
            "feedback_id": st.sampled_from("abcdefgh"),
            "score": st.sampled_from([1, 2, 3.5, 5]),
            "source_kind": st.sampled_from(["person", "outcome"]),
        },
        optional={
            "model_name": st.just("n"),
            "prediction_id": st.sampled_from("pqr"),
            "model_version": st.sampled_from(["1", "2"]),
            "partition": st.sampled_from(["2026-06", "it's"]),
            "label": st.sampled_from([0, 1, True, "late"]),
            "value": st.just(0.5),
            "source": st.sampled_from(["crm", "web"]),
            "attributes": st.fixed_dictionaries({"reviewer": st.sampled_from(["ann", "bob"])}),
        },
    ),
    min_size=8,
    max_size=14,
).map(lambda found: [document(number, more) for number, more in enumerate(found)])


def answers(records: FeedbackRecords) -> dict[str, Any]:
    """Everything that the port is asked, in a form that compares."""

    def told(rows: Iterable[Any]) -> list[Any]:
        return sorted(map(tuple, rows), key=repr)

    totals = records.totals()
    scores = records.scores(["m", "n"], MOMENT + timedelta(minutes=3))
    opinions = {
        (model, part): {
            version: (o.answers, round(o.mean, 9), round(o.deviation, 9))
            for version, o in records.opinions(model, partition=part).items()
        }
        for model in "mn"
        for part in (None, "it's", "2026-06-10/2026-06-10", "2026-06-11/2026-06-12")
    }
    return {
        "totals": [totals[name] for name in ("stored", "revised", "models")],
        "count": [
            *(records.count("m"), records.count("n"), records.count("m", "it's")),
            records.count("m", "2026-06-10/2026-06-10"),
        ],
        "counts": records.counts(["m", "n"]),
        "scores": {model: (n, round(mean, 9)) for model, (n, mean) in scores.items()},
        # of which each place numbers its own
        "outcomes": told(row[:-1] for row in rows_read(OUTCOME, records.outcomes("m"))),
        "said": told(row[:-1] for row in rows_read(SAID, records.said("m"))),
        "with_outcome": records.with_outcome("m", ["p", "q", "none"]),
        "opinions": opinions,
        "by_person": told(chain.from_iterable(records.opinions_by_person("m"))),
        "contradicted": records.contradicted("m"),
        "disliked": records.disliked("m", 2, most=2),
        "documents": sorted(map(repr, map(plainly, records.documents(None, revisions=False)))),
        "revisions": sorted(map(repr, map(plainly, records.documents("m", revisions=True)))),
    }


def plainly(row: Any) -> dict[str, Any]:
    return {name: row[name] for name in sorted(row) if name not in {"sequence", "batch_id"}}


def holds(documents: list[dict[str, Any]], begin: int, end: int) -> None:
    """``begin`` and ``end`` say which part goes into the table; the rest goes into the store."""
    folder = tempfile.mkdtemp()
    stores = [store_in_memory() for _ in range(2)]
    try:
        alone = FeedbackService(stores[0])
        put(alone, documents)
        table = FeedbackService(stores[1], delta=f"{folder}/delta")
        put(table, documents[begin:end])
        put(FeedbackService(stores[1]), documents[:begin] + documents[max(begin, end) :])
        assert answers(FeedbackService(stores[1]).records_of()) == answers(alone.records_of())
    finally:
        shutil.rmtree(folder)
        for store in stores:
            store.close()


cuts = st.integers(0, 14)


@pytest.mark.slow
@settings(max_examples=4, deadline=None)
@given(documents=said, begin=cuts, end=cuts)
def test_every_place_gives_the_same_answers(
    documents: list[dict[str, Any]], begin: int, end: int
) -> None:
    holds(documents, begin, end)


def test_every_store_gives_the_same_answers_beside_a_table(store: Store, tmp_path: Path) -> None:
    labels: list[Any] = [0, 1, "late", True]
    documents = [
        document(
            number,
            {
                "feedback_id": f"f{number % 9}",
                "model_name": "mn"[number % 7 == 0],
                "prediction_id": "pqr"[number % 3],
                "model_version": str(number % 2),
                "partition": "it's",
                "score": 1 + number % 5,
                "label": labels[number % 4],
                "source_kind": ("person", "outcome")[number % 4 == 0],
                "attributes": {"reviewer": ("ann", "bob")[number % 2]},
            },
        )
        for number in range(24)
    ]
    alone = FeedbackService(store_in_memory())
    put(alone, documents)
    put(FeedbackService(store, delta=str(tmp_path / "delta")), documents[6:15])
    put(FeedbackService(store), documents[:6] + documents[15:])
    there = answers(FeedbackService(store).records_of())
    assert there == answers(alone.records_of())
    assert there["contradicted"]
    assert there["with_outcome"] == {"q"}


@pytest.mark.faults
@settings(max_examples=200, deadline=None)
@given(documents=said, begin=cuts, end=cuts)
def test_every_place_gives_the_same_answers_two_hundred_times(
    documents: list[dict[str, Any]], begin: int, end: int
) -> None:
    holds(documents, begin, end)


Services = tuple[FeedbackService, FeedbackService]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """A service whose records are in the store, and one of which half are in a Delta table."""
    write_predictions(
        str(tmp_path / "log"),
        {
            "prediction_id": [f"p{n}" for n in range(40)],
            "score": [0.9 if n % 2 else 0.2 for n in range(40)],
            "day": [f"2026-06-{1 + n % 20:02}" for n in range(40)],
        },
        model_name="m",
        version="3",
        partition="2026-06",
    )
    outcomes = [
        {
            "feedback_id": f"o{n}",
            "prediction_id": f"p{n}",
            "label": n % 2,
            "source_kind": "outcome",
            "partition": "2026-06",
        }
        for n in range(30)
    ]
    people = [
        {
            "feedback_id": f"s{n}",
            "prediction_id": f"p{35 + n // 2}",
            "model_version": "3",
            "score": 1 + n,
            "label": n % 2,
            "partition": "2026-06",
            "attributes": {"reviewer": ("ann", "bob")[n % 2]},
        }
        for n in range(4)
    ]
    stores = [store_in_memory() for _ in range(2)]
    put(FeedbackService(stores[0]), [*outcomes, *people])
    put(FeedbackService(stores[1], delta=str(tmp_path / "delta")), outcomes)
    put(FeedbackService(stores[1]), people)
    yield FeedbackService(stores[0]), FeedbackService(stores[1])
    for store in stores:
        store.close()


def same(services: Services, ask: Callable[[FeedbackService], Any]) -> Any:
    one, other = map(ask, services)
    assert one == other
    return one


def test_metrics_are_measured_wherever_the_records_are(services: Services, tmp_path: Path) -> None:
    def measured(service: FeedbackService) -> dict[str, Any]:
        log = str(tmp_path / "log")
        found = measure_live(service, model_name="m", predictions=log, partition="2026-06")
        return found.to_dict()

    (version,) = same(services, measured)["versions"]
    assert (version["n"], version["answers"], version["mos"]) == (32, 4, 2.5)


def test_a_training_set_is_made_wherever_the_records_are(
    services: Services, tmp_path: Path
) -> None:
    def made(service: FeedbackService) -> list[Any]:
        import duckdb

        target, log = tmp_path / "set.parquet", tmp_path / "log"
        records = service.records_of("m")
        make_training_set(target, log, records, model_name="m", as_of=MOMENT + timedelta(days=9))
        named = "prediction_id, feedback_id, label_number, label_source, epoch_us(observed_at)"
        return duckdb.sql(f"SELECT {named} FROM '{target}' ORDER BY 1").fetchall()

    assert len(same(services, made)) == 32


def test_exceptions_are_found_wherever_the_records_are(services: Services, tmp_path: Path) -> None:
    def queued(service: FeedbackService) -> list[Any]:
        found = ExceptionService(service.store)
        search = Search(max_score=2.0, min_confidence=0.95)
        found.collect(
            model_name="m", search=search, asking=Asking(), predictions=str(tmp_path / "log")
        )
        return sorted((case.prediction_id, case.reasons) for case in found.queue.find(limit=99))

    assert len(same(services, queued)) == 10  # what has no outcome


def test_promotion_hears_of_it_wherever_the_records_are(services: Services) -> None:
    def heard(service: FeedbackService) -> tuple[Any, int]:
        life = StoreLife(service.store)
        return life.opinions("m", "3"), life.feedback("m", 1)

    opinions, number = same(services, heard)
    assert (opinions.answers, opinions.mean, number) == (4, 2.5, 34)


def test_what_is_in_several_places_is_told_and_written_out_as_one(
    services: Services, tmp_path: Path
) -> None:
    status = same(
        services,
        lambda s: {**feedback_status(s.store), "tables": 0, "batches": 0, "last_ingested_at": 0},
    )
    assert (status["stored"], status["models"]) == (34, {"m": 34})

    def written(service: FeedbackService) -> list[Any]:
        file = tmp_path / "out.jsonl"
        assert export(service, file, model_name="m") == 34
        return sorted((json.loads(line) for line in file.open()), key=lambda d: d["feedback_id"])

    same(services, written)
    again = FeedbackService(store_in_memory()).ingest(tmp_path / "out.jsonl")
    assert again.stored == 34


def test_a_person_is_forgotten_in_every_place_that_the_store_knows(services: Services) -> None:
    def forgotten(service: FeedbackService) -> tuple[int, int, int]:
        removed = forget(service, persons=["ann"], ids=["o1", "none"])
        return removed.records, removed.revisions, service.count("m")

    assert same(services, forgotten) == (3, 3, 31)


def test_a_person_whose_record_was_revised_elsewhere_is_forgotten_there_too(
    tmp_path: Path,
) -> None:
    store = store_in_memory()
    table = FeedbackService(store, delta=str(tmp_path / "delta"))
    put(FeedbackService(store), [{"feedback_id": "a", "score": 1, "source": "ann"}])
    put(table, [{"feedback_id": "a", "score": 2}, {"feedback_id": "b", "score": 2}])
    assert forget(FeedbackService(store), persons=["ann"]).revisions == 2
    assert FeedbackService(store).status()["models"] == {"m": 1}


def test_a_table_that_is_gone_is_named_and_nothing_is_read_for_it(
    services: Services, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, service = services
    (tmp_path / "delta").rename(tmp_path / "elsewhere")
    reads: list[Callable[[], Any]] = [
        lambda: service.count("m"),
        service.status,
        lambda: list(service.records_of("m").outcomes("m")),
        lambda: forget(service, persons=["ann"]),
        lambda: export(service, tmp_path / "out.jsonl"),
    ]
    for read in reads:
        with pytest.raises(FeedbackSinkError, match="delta, which has feedback, is not there"):
            read()
    assert not list(tmp_path.glob("*.jsonl"))
    assert service.records.count("m") == 4  # and nobody was forgotten
    assert service.count("other") == 0


def test_the_command_line_names_the_tables_and_lets_one_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, delta, file = f"sqlite:///{tmp_path}/ai.db", str(tmp_path / "delta"), tmp_path / "in.jsonl"
    line = {"feedback_id": "a", "model_name": "m", "observed_at": NOON, "score": 1}
    file.write_text(json.dumps(line) + "\n")

    def run(*arguments: str) -> Any:
        status = main(["--store", url, "feedback", *arguments, "--json"])
        return status, json.loads(capsys.readouterr().out)

    assert run("ingest", str(file), "--delta", delta)[1]["stored"] == 1
    assert run("tables") == (0, {delta: ["m"]})
    assert run("status")[1]["models"] == {"m": 1}
    assert run("export", str(tmp_path / "out.jsonl"))[1]["records"] == 1
    assert run("tables", "--drop", delta) == (0, {"dropped": 1})
    assert run("tables", "--drop", delta) == (1, {"dropped": 0})
    assert run("status")[1]["models"] == {}
    assert run("status", "--delta", delta)[1]["models"] == {"m": 1}
