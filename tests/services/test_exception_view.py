"""The page of the exception queue: who sees what, what is free for whom, what was said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.feedback.exceptions import Answer, Asking, Finding, Reason
from airflow_ai_provider.services.views.exceptions import HELD_SHOWN, PER_PAGE, exceptions_view
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exceptions import ExceptionQueue
from airflow_ai_provider.store.schema import exception_case, exception_seat
from tests.statements import statements


def queue_of(store: Store, number: int = 3, *, model: str = "m", **asking: Any) -> ExceptionQueue:
    queue = ExceptionQueue(store)
    found = [
        Finding(
            model_name=model,
            model_version="1",
            prediction_id=f"p{n}",
            reason=Reason.LOW_CONFIDENCE,
            urgency=n / 1000,
            facts={"note": "x" * 5000, "said": [1, None], "nested": {"a": "b"}},
        )
        for n in range(number)
    ]
    queue.add(found, Asking(**asking))
    return queue


def view(
    store: Store, person: str = "ann", *, see: bool = True, may: bool = True, **more: Any
) -> Any:
    return exceptions_view(
        store, person=person, may_see=lambda _: see, may_answer=lambda _: may, **more
    )


def make_late(store: Store, table: sa.Table, column: str) -> None:
    with store.write() as connection:
        past = store.utcnow(connection) - timedelta(hours=1)
        connection.execute(table.update().values({column: past}))


def test_what_waits_is_shown_with_why_and_since_when(store: Store) -> None:
    queue_of(store, people=2, assignees=("ann", "bob"), max_age=60.0)
    shown = view(store)
    assert (shown["open"], shown["mine"], shown["may_answer"]) == (3, [], True)
    assert [case["prediction_id"] for case in shown["waiting"]] == ["p2", "p1", "p0"]
    first = shown["waiting"][0]
    assert first["reasons"] == ["low confidence"]
    assert first["assigned_to"] == ["ann", "bob"]
    assert (first["people"], first["answers"], first["looking"]) == (2, 0, 0)
    assert (first["form"], first["free"]) == (True, True)
    assert first["age_s"] >= 0
    assert first["due"] > first["since"]
    facts = dict(first["facts"])
    assert (facts["said"], facts["nested"]) == ("[1, null]", '{"a": "b"}')
    assert len(facts["note"]) < 200
    assert view(store, model="n")["waiting"] == []
    assert view(store, "cem")["waiting"][0]["why_not"] == "It is assigned to others."


def test_a_claimed_case_has_a_form_for_who_claimed_it_and_is_taken_for_others(
    store: Store,
) -> None:
    queue = queue_of(store, labels={"late": 1, "in time": False})
    queue.claim("ann")
    shown = view(store)
    (mine,) = shown["mine"]
    assert mine["labels"] == [{"shown": "late", "label": 1}, {"shown": "in time", "label": False}]
    assert (mine["form"], mine["score"]) == (True, False)
    assert 3500 < mine["left_s"] <= 3600
    assert len(dict(mine["facts"])["note"]) == 2000
    assert [case["prediction_id"] for case in shown["waiting"]] == ["p1", "p0"]
    other = view(store, "bob")
    assert (other["mine"], other["open"]) == ([], 3)
    assert other["waiting"][0]["why_not"] == "Somebody looks at it now."
    assert other["waiting"][1]["free"]
    assert not view(store, may=False)["mine"][0]["form"]


def test_who_has_had_a_turn_is_told_so_and_own_answers_are_shown(store: Store) -> None:
    queue = queue_of(store, people=2, labels={"late": 1, "in time": 0})
    one, two = queue.claim("ann", limit=2)
    queue.answer(one.id, "ann", Answer(label=0, comment="<b>"))
    queue.give_back(two.id, "ann")
    shown = view(store)
    told = {case["prediction_id"]: case["why_not"] for case in shown["waiting"]}
    assert told == {"p2": "You have answered it.", "p1": "You could not tell.", "p0": ""}
    (said,) = shown["answered"]
    assert (said["prediction_id"], said["said"], said["comment"]) == ("p2", "in time", "<b>")
    assert view(store, "bob")["answered"] == []


def test_what_is_late_is_neither_held_nor_waits(store: Store) -> None:
    queue = queue_of(store, 1, max_age=60.0)
    queue.claim("ann")
    make_late(store, exception_seat, "expires_at")
    assert view(store)["mine"] == []
    for person in ("ann", "bob"):
        (case,) = view(store, person)["waiting"]
        assert (case["free"], case["looking"]) == (True, 0)
    queue.withdraw([])  # any change lets what is late go
    make_late(store, exception_case, "due_at")
    shown = view(store)
    assert (shown["open"], shown["waiting"], shown["oldest_s"]) == (0, [], None)
    assert not shown["may_answer"]  # there is nothing to take


def test_a_viewer_sees_and_others_do_not_even_see(store: Store) -> None:
    queue_of(store, dag_id="d")
    shown = view(store, may=False)
    assert [case["form"] for case in shown["waiting"]] == [False] * 3
    assert not shown["may_answer"]
    hidden = view(store, see=False)
    assert (hidden["open"], hidden["waiting"]) == (0, [])
    queue_of(store, 1, model="of no DAG")
    some = exceptions_view(
        store, person="ann", may_see=lambda dag: dag is None, may_answer=lambda dag: dag is None
    )
    assert [case["model_name"] for case in some["waiting"]] == ["of no DAG"]


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_a_long_queue_has_pages_and_few_queries(store: Store) -> None:
    queue = queue_of(store, 60)
    queue.claim("ann", limit=HELD_SHOWN + 5)
    with statements() as asked:
        shown = view(store)
    assert 1 <= len(asked) <= 10
    assert (len(shown["mine"]), shown["held"]) == (HELD_SHOWN, HELD_SHOWN + 5)
    assert (len(shown["waiting"]), shown["page"]["more"]) == (PER_PAGE, True)
    rest = view(store, page=2)
    assert (len(rest["waiting"]), rest["page"]["more"]) == (60 - HELD_SHOWN - 5 - PER_PAGE, False)
