"""The exception queue: no case is shown to more people than are asked, whatever they do."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_ai_provider.core.errors import ExceptionReviewError
from airflow_ai_provider.core.feedback.exceptions import (
    MOVES,
    Answer,
    Asking,
    CaseState,
    Finding,
    Reason,
    SeatState,
)
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exception_answers import ExceptionAnswers
from airflow_ai_provider.store.exceptions import MOST_CLAIMED, ExceptionQueue
from airflow_ai_provider.store.schema import exception_case, exception_seat
from tests.stores import store_in_memory

PEOPLE = ["ann", "bob", "cem", "dia"]
YES = Answer(label=1)


def finding(number: int, *, urgency: float = 0.5, **more: Any) -> Finding:
    facts: dict[str, Any] = {"model_name": "m", "model_version": "1", **more}
    return Finding(prediction_id=f"p{number}", reason=Reason.DISPUTED, urgency=urgency, **facts)


def make_late(store: Store, table: sa.Table, column: str, **where: str) -> None:
    """Let the time of rows be over."""
    with store.write() as connection:
        conditions = [table.c[name] == value for name, value in where.items()]
        past = store.utcnow(connection) - timedelta(hours=1)
        connection.execute(table.update().where(*conditions).values({column: past}))


class Queue(RuleBasedStateMachine):
    """People who claim, answer, give back and forget, in any order."""

    @initialize()
    def begin(self) -> None:
        self.store = store_in_memory()
        self.queue = ExceptionQueue(self.store)
        self.added = 0
        self.seen: set[tuple[str, str]] = set()  # who has answered or given back what
        self.before: dict[Any, str] = {}

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()

    @rule(people=st.integers(1, 3), urgency=st.floats(0, 1))
    def add(self, people: int, urgency: float) -> None:
        self.added += 1
        found = finding(self.added, urgency=urgency)
        counts = self.queue.add([found, found], Asking(people=people))
        assert (counts.added, counts.known, counts.left_out) == (1, 0, 0)
        assert self.queue.add([found], Asking()).known == 1

    @rule(person=st.sampled_from(PEOPLE), limit=st.integers(1, 3))
    def claim(self, person: str, limit: int) -> None:
        for case in self.queue.claim(person, limit=limit):
            assert case.state is CaseState.OPEN
            assert (case.id, person) not in self.seen

    def _mine(self, person: str) -> str | None:
        cases = self.queue.find(holder=person)
        return cases[0].id if cases else None

    @rule(person=st.sampled_from(PEOPLE))
    def answer(self, person: str) -> None:
        case = self._mine(person)
        if case is None:
            with pytest.raises(ExceptionReviewError):
                self.queue.answer("none", person, YES)
            return
        self.queue.answer(case, person, YES)
        self.seen.add((case, person))

    @rule(holder=st.sampled_from(PEOPLE), by=st.sampled_from(PEOPLE))
    def answer_for(self, holder: str, by: str) -> None:
        case = self._mine(holder)
        if case is None or by == holder:
            return
        seats = self._seats()
        if seats.get((case, by)) in {None, SeatState.LAPSED.value}:
            self.queue.answer(case, holder, YES, by=by)
            self.seen.add((case, by))
            self.before[(case, by)] = SeatState.CLAIMED.value  # the holder's claim became theirs
        else:
            with pytest.raises(ExceptionReviewError):
                self.queue.answer(case, holder, YES, by=by)

    @rule(person=st.sampled_from(PEOPLE), cannot_tell=st.booleans())
    def give_back(self, person: str, cannot_tell: bool) -> None:
        case = self._mine(person)
        if case is not None:
            self.queue.give_back(case, person, cannot_tell=cannot_tell)
            if cannot_tell:
                self.seen.add((case, person))

    @rule(person=st.sampled_from(PEOPLE))
    def forget_to_answer(self, person: str) -> None:
        case = self._mine(person)
        if case is not None:
            make_late(self.store, exception_seat, "expires_at", case_id=case, person=person)
            with pytest.raises(ExceptionReviewError, match=r"lapsed|expired"):
                self.queue.answer(case, person, YES)
            self.queue.withdraw([])  # any change lets what is late go

    @precondition(lambda self: self.added)
    @rule(number=st.integers(1, 100), withdraw=st.booleans())
    def end(self, number: int, withdraw: bool) -> None:
        case = finding(1 + number % self.added).case_id
        if withdraw:
            self.queue.withdraw([case])
        else:
            make_late(self.store, exception_case, "due_at", id=case)
            self.queue.withdraw([])

    def _seats(self) -> dict[tuple[str, str], str]:
        with self.store.read() as connection:
            rows = connection.execute(sa.select(exception_seat)).all()
        return {(row.case_id, row.person): row.state for row in rows}

    @invariant()
    def holds(self) -> None:
        seats = self._seats()
        live: Counter[str] = Counter()
        answered: Counter[str] = Counter()
        for (case, _), state in seats.items():
            live[case] += state in {"claimed", "answered"}
            answered[case] += state == "answered"
        now: dict[Any, str] = dict(seats)
        for case in self.queue.find(limit=None):
            assert case.taken == live[case.id] <= case.people
            assert case.answers == answered[case.id]
            assert (case.state is CaseState.ANSWERED) == (case.answers == case.people)
            assert (case.closed_at is None) == (case.state is CaseState.OPEN)
            now[case.id] = case.state.value
        for key, state in now.items():
            kind = CaseState if isinstance(key, str) else SeatState
            if key in self.before and self.before[key] != state:
                assert kind(state) in MOVES[kind(self.before[key])]
        self.before = now


Queue.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestQueue = Queue.TestCase


def filled(store: Store, number: int = 3, **asking: Any) -> ExceptionQueue:
    queue = ExceptionQueue(store)
    queue.add([finding(n, urgency=n / 100) for n in range(number)], Asking(**asking))
    return queue


def test_the_most_urgent_comes_first_and_to_nobody_twice(store: Store) -> None:
    queue = filled(store)
    (first,) = queue.claim("ann")
    assert first.prediction_id == "p2"
    assert [case.prediction_id for case in queue.claim("bob", limit=5)] == ["p1", "p0"]
    assert queue.claim("cem", limit=5) == []
    given = queue.answer(first.id, "ann", Answer(label="late", comment="storm"))
    assert given.case.prediction_id == "p2"
    with pytest.raises(ExceptionReviewError, match="answered"):
        queue.answer(first.id, "ann", YES)
    (closed,) = queue.find(state=CaseState.ANSWERED)
    assert closed.id == first.id


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_cases_are_dealt_to_those_assigned_and_to_nobody_else(store: Store) -> None:
    queue = filled(store, 4, assignees=("ann", "bob", "cem"), people=2)
    dealt = [case.assigned_to for case in queue.find()]
    assert dealt == [("ann", "bob"), ("cem", "ann"), ("bob", "cem"), ("ann", "bob")]
    assert queue.claim("dia", limit=9) == []
    assert len(queue.claim("ann", limit=9)) == 3
    case = queue.find()[0].id
    queue.assign(case, ["dia", "cem"])
    assert [found.id for found in queue.claim("dia", limit=9)] == [case]
    with pytest.raises(ExceptionReviewError, match="more people"):
        queue.assign(case, ["dia"])


def test_a_task_asks_for_people_and_who_answers_is_who_counts(store: Store) -> None:
    queue = filled(store, 2, people=2, assignees=("ann", "bob"))
    one = queue.claim("task:1", users=["ann", "bob"], limit=2)
    two = queue.claim("task:2", users=["ann", "bob"], limit=2)
    assert [case.id for case in one] == [case.id for case in two]
    queue.answer(one[0].id, "task:1", YES, by="ann")
    with pytest.raises(ExceptionReviewError, match="already"):
        queue.answer(one[0].id, "task:2", YES, by="ann")
    with pytest.raises(ExceptionReviewError, match="assigned"):
        queue.answer(one[0].id, "task:2", YES, by="eve")
    queue.answer(one[0].id, "task:2", YES, by="bob")
    assert {given.person for given in ExceptionAnswers(queue).undelivered()} == {"ann", "bob"}


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_no_more_are_open_than_may_be_and_nobody_holds_too_many(store: Store) -> None:
    queue = ExceptionQueue(store)
    counts = queue.add([finding(n) for n in range(80)], Asking(max_open=60))
    assert (counts.added, counts.left_out) == (60, 20)
    assert len(queue.claim("ann", limit=99)) == MOST_CLAIMED
    assert queue.claim("ann") == []


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_only_what_was_offered_is_an_answer(store: Store) -> None:
    queue = filled(store, 1, labels={"late": 1, "in time": 0})
    (case,) = queue.claim("ann")
    for wrong in (Answer(label=2), Answer(label=True), Answer(score=4.0), Answer()):
        with pytest.raises(ExceptionReviewError):
            queue.answer(case.id, "ann", wrong)
    queue.answer(case.id, "ann", YES)
    scored = ExceptionQueue(store)
    scored.add([finding(9)], Asking(score=True))
    (case,) = scored.claim("ann")
    with pytest.raises(ExceptionReviewError, match="score"):
        scored.answer(case.id, "ann", YES)
    scored.answer(case.id, "ann", Answer(score=2.5))


def test_a_person_who_is_forgotten_leaves_no_name_and_no_answer(store: Store) -> None:
    queue = filled(store, 3, people=2)
    answers = ExceptionAnswers(queue)
    cases = queue.claim("ann", limit=3)
    queue.answer(cases[0].id, "ann", Answer(label=1, comment="call me"))
    queue.give_back(cases[1].id, "ann")
    assert answers.forget("ann") == 3
    with store.read() as connection:
        rows = connection.execute(sa.select(exception_seat)).all()
    assert "ann" not in str(rows)
    assert "call me" not in str(rows)
    assert answers.undelivered() == []
    assert [case.taken for case in queue.find()] == [1, 0, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"people": 0},
        {"people": 99},
        {"people": 2, "assignees": ("ann", "ann")},
        {"labels": {"a": 1}, "score": True},
        {"max_open": 0},
        {"max_age": 0},
    ],
)
def test_what_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ExceptionReviewError):
        Asking(**wrong)


@pytest.mark.parametrize("people", [1, 3])
@pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
def test_many_who_claim_at_once_never_share_a_seat(store: Store, people: int) -> None:
    cases, claimers = 12, 8
    filled(store, cases, people=people)
    barrier, taken = threading.Barrier(claimers), []

    def claim_all(person: str) -> None:
        queue = ExceptionQueue(Store(str(store.full_url)))
        barrier.wait()
        while found := queue.claim(person):
            taken.append((found[0].id, person))
        queue.store.close()

    threads = [threading.Thread(target=claim_all, args=(f"p{n}",)) for n in range(claimers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(taken) == len(set(taken)) == cases * people
    assert set(Counter(case for case, _ in taken).values()) == {people}
