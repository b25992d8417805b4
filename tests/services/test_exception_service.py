"""What people must look at is found, and what they say is feedback, once."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.errors import (
    ExceptionReviewError,
    FeedbackRecordError,
    FeedbackSourceError,
)
from airflow_ai_provider.core.feedback.comments import Comments
from airflow_ai_provider.core.feedback.exceptions import Answer, Asking, CaseState
from airflow_ai_provider.core.feedback.parse import parse
from airflow_ai_provider.core.feedback.quick import row_of
from airflow_ai_provider.services.exceptions import (
    ExceptionService,
    Search,
    read_answer,
    shown,
)
from airflow_ai_provider.services.feedback import FeedbackService, write_predictions
from airflow_ai_provider.services.feedback_forget import forget
from airflow_ai_provider.services.feedback_settings import FeedbackSettings
from airflow_ai_provider.store.feedback import FeedbackStore
from airflow_ai_provider.store.schema import exception_case, exception_seat, feedback
from tests.stores import store_in_memory

MODEL = "m"
NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
SCORES = {"sure": 0.97, "unsure": 0.52, "half": 0.5, "wrong": 0.9, "disliked": 0.99, "known": 0.51}


@pytest.fixture
def service() -> Any:
    store = store_in_memory()
    yield ExceptionService(store)
    store.close()


def predictions(folder: Path) -> str:
    write_predictions(
        str(folder),
        {
            "prediction_id": list(SCORES),
            "score": list(SCORES.values()),
            "day": ["2026-06-01"] * len(SCORES),
            "carrier": ["UA|AA"] * len(SCORES),
        },
        model_name=MODEL,
        version="3",
        partition="2026-06",
    )
    return str(folder)


def say(service: ExceptionService, *said: dict[str, Any]) -> None:
    rows = []
    for number, one in enumerate(said):
        document = {
            "feedback_id": f"f{number}-{one['prediction_id']}",
            "model_name": MODEL,
            "observed_at": NOON,
            **one,
        }
        rows.append(row_of(parse(document)))
    FeedbackStore(service.store).write_batch([rows], [], sources=["x"])


def collect(service: ExceptionService, folder: Path, **more: Any) -> Any:
    search = {"min_confidence": 0.6, "max_score": 2.0, "show": ("carrier",), **more}
    return service.collect(
        model_name=MODEL,
        search=Search(**search),
        asking=Asking(dag_id="d"),
        predictions=predictions(folder),
        partition="2026-06",
    )


def test_what_is_unsure_disliked_or_disputed_is_queued_and_what_is_known_is_not(
    service: ExceptionService, tmp_path: Path
) -> None:
    say(
        service,
        {"prediction_id": "wrong", "label": 0},
        {"prediction_id": "disliked", "score": 1},
        {"prediction_id": "known", "label": 1, "source_kind": "outcome"},
        {"prediction_id": "sure", "label": 1},
    )
    assert collect(service, tmp_path).added == 4
    found = {case.prediction_id: case for case in service.queue.find()}
    assert {name: case.reasons for name, case in found.items()} == {
        "half": ("low_confidence",),
        "unsure": ("low_confidence",),
        "wrong": ("disputed",),
        "disliked": ("low_score",),
    }
    assert found["wrong"].facts == {"carrier": "UA|AA", "model's score": 0.9, "said": [0.0]}
    assert found["wrong"].model_version == "3"
    again = collect(service, tmp_path)
    assert (again.added, again.known) == (0, 4)


def test_people_who_contradict_each_other_are_enough_without_a_log(
    service: ExceptionService,
) -> None:
    say(
        service,
        {"prediction_id": "a", "label": "cat", "source": "1"},
        {"prediction_id": "a", "label": "dog", "source": "2"},
        {"prediction_id": "b", "label": "cat", "source": "1"},
        {"prediction_id": "b", "label": "cat", "source": "2"},
    )
    added = service.collect(model_name=MODEL, search=Search(), asking=Asking())
    assert added.added == 1
    (case,) = service.queue.find()
    assert (case.prediction_id, case.facts) == ("a", {"different labels": 2})


def test_what_people_say_is_looked_at_in_the_part_that_is_named(
    service: ExceptionService, tmp_path: Path
) -> None:
    say(
        service,
        {"prediction_id": "a", "score": 1, "partition": "2026-05"},
        {"prediction_id": "b", "score": 2, "partition": "2026-06"},
        {"prediction_id": "c", "score": 1, "observed_at": NOON.replace(month=7)},
        {"prediction_id": "known", "score": 1, "partition": "2026-06"},
        {"prediction_id": "known", "label": 1, "source_kind": "outcome"},
    )
    search = Search(max_score=2)
    for part, name in (("2026-06", "b"), ("2026-07-01/2026-07-31", "c"), ("2026-05", "a")):
        added = service.collect(model_name=MODEL, search=search, asking=Asking(), partition=part)
        assert added.added == 1
        (case,) = [case for case in service.queue.find() if case.prediction_id == name]
        assert case.partition == (None if "/" in part else part)


def test_a_part_is_a_window_of_days_too_and_the_limit_holds_in_it(
    service: ExceptionService, tmp_path: Path
) -> None:
    say(
        service,
        *({"prediction_id": f"other {n}", "score": 1} for n in range(3)),
        {"prediction_id": "sure", "score": 2},
        {"prediction_id": "wrong", "score": 1.5},
    )

    def collected(part: str) -> int:
        found = service.collect(
            model_name=MODEL,
            search=Search(max_score=2, limit=1, disputed=False),
            asking=Asking(),
            predictions=predictions(tmp_path),
            partition=part,
        )
        return found.added

    assert collected("2026-06-02/2026-06-30") == 0
    assert collected("2026-06-01/2026-06-30") == 1
    assert [case.prediction_id for case in service.queue.find()] == ["wrong"]


def test_reality_ends_the_question(service: ExceptionService, tmp_path: Path) -> None:
    collect(service, tmp_path)
    say(service, {"prediction_id": "half", "label": 1, "source_kind": "outcome"})
    assert service.settle(MODEL) == 1
    states = {case.prediction_id: case.state for case in service.queue.find()}
    assert states["half"] is CaseState.WITHDRAWN
    assert service.figures()[MODEL]["withdrawn"] == 1
    assert service.figures()[MODEL]["oldest_s"] >= 0


def test_an_answer_is_feedback_of_a_person(service: ExceptionService, tmp_path: Path) -> None:
    collect(service, tmp_path)
    (case,) = service.claim("ann")
    told = service.answer(case.id, "ann", Answer(label=1, comment="clear"))
    with service.store.read() as connection:
        (row,) = connection.execute(sa.select(feedback)).all()
    assert row.feedback_id == told["feedback_id"]
    assert (row.source_kind, row.label, row.comment) == ("person", "1", "clear")
    assert (row.model_version, row.partition) == ("3", "2026-06")
    assert '"reviewer":"ann"' in row.attributes
    assert row.batch_id == told["batch"]


def test_who_died_between_answer_and_feedback_is_caught_up_with_once(
    service: ExceptionService, tmp_path: Path
) -> None:
    collect(service, tmp_path)
    (case,) = service.claim("ann")
    service.queue.answer(case.id, "ann", Answer(label=0))  # and here it died
    given = service.answers.undelivered()
    assert service.deliver() is not None
    assert service.deliver() is None
    counted = FeedbackStore(service.store).totals()
    service.answers.delivered(given, None)  # as if it had died after taking them in, too
    service.deliver()
    assert FeedbackStore(service.store).totals()["stored"] == counted["stored"] == 1


@pytest.mark.parametrize("comments", Comments)
@pytest.mark.parametrize("dies", [False, True])
def test_of_a_comment_no_more_is_kept_than_feedback_may_keep(
    service: ExceptionService, tmp_path: Path, comments: Comments, dies: bool
) -> None:
    collect(service, tmp_path)
    (case,) = service.claim("ann")
    strict = ExceptionService(service.store, FeedbackSettings(feedback_comments=comments))
    said = Answer(label=1, comment="call ann")
    if dies:  # what was recorded before the setting was changed, and is no feedback yet
        service.queue.answer(case.id, "ann", said)
        strict.deliver()
    else:
        strict.answer(case.id, "ann", said)
    with service.store.read() as connection:
        (seat,) = connection.execute(sa.select(exception_seat.c.answer)).scalars()
        (row,) = connection.execute(sa.select(feedback.c.comment)).scalars()
    expected = {
        Comments.KEEP: "call ann",
        Comments.HASH: f"sha256:{hashlib.sha256(b'call ann').hexdigest()}",
        Comments.DROP: None,
    }[comments]
    assert (seat["comment"], row) == (expected, expected)
    assert seat["label"] == 1


def test_who_is_forgotten_is_in_the_queue_no_more(
    service: ExceptionService, tmp_path: Path
) -> None:
    service.collect(
        model_name=MODEL,
        search=Search(min_confidence=0.6),
        asking=Asking(dag_id="d", assignees=("ann",)),
        predictions=predictions(tmp_path),
        partition="2026-06",
    )
    first, waiting = service.claim("ann", limit=2)
    service.answer(first.id, "ann", Answer(label=1, comment="ann-was-here"))
    service.queue.answer(waiting.id, "ann", Answer(label=0, comment="ann-was-here"))
    removed = forget(FeedbackService(service.store), persons=["ann"])
    assert removed.records == 1
    assert service.deliver() is None
    with service.store.read() as connection:
        rows = [connection.execute(sa.select(t)).all() for t in (exception_case, exception_seat)]
    assert "ann" not in str(rows).replace("forgotten", "")


def test_an_answer_that_is_no_feedback_is_not_recorded(
    service: ExceptionService, tmp_path: Path
) -> None:
    collect(service, tmp_path)
    (case,) = service.claim("ann")
    for wrong in ("", "x" * 2000):
        with pytest.raises(FeedbackRecordError):
            service.answer(case.id, "ann", Answer(label=wrong))
    assert [found.id for found in service.queue.find(holder="ann")] == [case.id]
    with pytest.raises(ExceptionReviewError, match="no case"):
        service.answer("none", "ann", Answer(label=1))


def test_a_missing_column_or_log_is_an_error_that_names_it(
    service: ExceptionService, tmp_path: Path
) -> None:
    with pytest.raises(FeedbackSourceError, match="tail"):
        collect(service, tmp_path, show=("tail",))
    with pytest.raises(FeedbackSourceError, match="nowhere"):
        service.collect(
            model_name=MODEL,
            search=Search(min_confidence=0.6),
            asking=Asking(),
            predictions=str(tmp_path / "nowhere.parquet"),
        )


def test_cases_and_answers_are_plain_json(service: ExceptionService, tmp_path: Path) -> None:
    import json

    collect(service, tmp_path)
    told = shown(service.queue.find()[0], now=datetime.now(timezone.utc))
    assert json.loads(json.dumps(told)) == told
    assert told["age_s"] >= 0
    assert read_answer({"label": 1}) == Answer(label=1)
    with pytest.raises(ExceptionReviewError, match="lable"):
        read_answer({"lable": 1})
