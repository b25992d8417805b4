"""Predictions that a person must look at: their states, and the only moves between them.

A *case* is one prediction of one model version. A *seat* is one person's turn at a case. A case has
as many seats as people are asked (one, unless agreement is measured), so that nothing is shown to
more people than that; a seat that somebody gave back or let lapse is free for somebody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from airflow_ai_provider.core.errors import ExceptionReviewError
from airflow_ai_provider.core.feedback.record import Label
from airflow_ai_provider.core.gate import digest

SOURCE = "exception review"
MAX_PEOPLE = 20


class CaseState(str, Enum):
    """Where a case stands."""

    OPEN = "open"  # somebody may still be asked
    ANSWERED = "answered"  # everybody who was to be asked has answered
    EXPIRED = "expired"  # nobody answered in time
    WITHDRAWN = "withdrawn"  # the question is moot: reality has answered it, or a person said so


class SeatState(str, Enum):
    """Where one person's turn at a case stands."""

    CLAIMED = "claimed"  # the person looks at it
    ANSWERED = "answered"
    RETURNED = "returned"  # the person cannot tell; is not asked again
    LAPSED = "lapsed"  # no answer in time; the same person may come back


State = CaseState | SeatState

MOVES: dict[State, frozenset[State]] = {
    CaseState.OPEN: frozenset({CaseState.ANSWERED, CaseState.EXPIRED, CaseState.WITHDRAWN}),
    CaseState.ANSWERED: frozenset(),
    CaseState.EXPIRED: frozenset(),
    CaseState.WITHDRAWN: frozenset(),
    SeatState.CLAIMED: frozenset({SeatState.ANSWERED, SeatState.RETURNED, SeatState.LAPSED}),
    SeatState.ANSWERED: frozenset(),
    SeatState.RETURNED: frozenset(),
    SeatState.LAPSED: frozenset({SeatState.CLAIMED}),
}


def sources(target: State) -> list[str]:
    """Return the states from which ``target`` may be reached: the guard of its UPDATE."""
    return [state.value for state, targets in MOVES.items() if target in targets]


class Reason(str, Enum):
    """Why a prediction is looked at."""

    DISPUTED = "disputed"  # people contradict each other, or the model
    LOW_CONFIDENCE = "low_confidence"
    LOW_SCORE = "low_score"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A prediction that somebody should look at; ``urgency`` from 0 to 1 orders the queue."""

    model_name: str
    prediction_id: str
    model_version: str | None = None
    partition: str | None = None
    reason: Reason
    urgency: float
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def case_id(self) -> str:
        """The id of its case: the same prediction is one case, however often it is found."""
        return digest([self.model_name, self.model_version, self.prediction_id])[:32]


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How the cases of one run are asked.

    ``people`` is how many are asked of each case, ``assignees`` the users they are dealt to in turn
    (any, when empty), ``labels`` the answers offered (shown name to label; any text, when empty).
    With ``score`` an opinion from 1 to 5 is asked for instead. A case expires after ``max_age``
    seconds; no more than ``max_open`` of a model are open at a time.
    """

    people: int = 1
    assignees: tuple[str, ...] = ()
    labels: Mapping[str, Label] = field(default_factory=dict)
    score: bool = False
    max_age: float | None = None
    max_open: int = 200
    dag_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if not 1 <= self.people <= MAX_PEOPLE:
            raise ExceptionReviewError(
                f"{self.people} people cannot look at one prediction.",
                remedy=f"Ask 1, or 2 to {MAX_PEOPLE} to measure their agreement.",
            )
        if self.assignees and len(set(self.assignees)) < self.people:
            raise ExceptionReviewError(
                f"{self.people} people are asked, and {len(set(self.assignees))} are assigned.",
                remedy="Name as many different users as are asked of each prediction.",
            )
        if self.score and self.labels:
            raise ExceptionReviewError(
                "Either a label or a score is asked for.", remedy="Leave out labels or score."
            )
        if self.max_open < 1 or (self.max_age is not None and self.max_age <= 0):
            raise ExceptionReviewError(
                "max_open and max_age are limits above 0.", remedy="Raise them, or leave them out."
            )

    def assigned(self, place: int) -> tuple[str, ...]:
        """Return whom the case at ``place`` of the queue is dealt to: ``people`` users in turn."""
        names = list(dict.fromkeys(self.assignees))
        return (
            tuple(names[(place * self.people + n) % len(names)] for n in range(self.people))
            if (names)
            else ()
        )


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case of the queue as the store has it.

    ``taken`` counts the seats that are claimed or answered, ``answers`` those answered.
    """

    id: str
    model_name: str
    model_version: str | None
    prediction_id: str
    partition: str | None
    state: CaseState
    reasons: tuple[str, ...]
    facts: Mapping[str, Any]
    urgency: float
    people: int
    taken: int
    answers: int
    assigned_to: tuple[str, ...]
    labels: Mapping[str, Label]
    score: bool
    dag_id: str | None
    created_at: datetime
    due_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a person says of a case: a label, or a score from 1 to 5; a comment beside it."""

    label: Label | None = None
    score: float | None = None
    comment: str | None = None


@dataclass(frozen=True, kw_only=True)
class Given:
    """An answer that was given, with what its feedback record needs."""

    case: Case
    person: str
    answer: Answer
    answered_at: datetime


def check_answer(case: Case, answer: Answer) -> None:
    """Refuse an answer that the case does not ask for.

    :raises ExceptionReviewError: it is none, or not one that was offered.
    """
    if case.score:
        if answer.score is None or answer.label is not None:
            raise ExceptionReviewError(
                f"Case {case.id} asks for a score from 1 to 5.", remedy="Answer {score: 4}."
            )
        return
    if answer.label is None or answer.score is not None:
        raise ExceptionReviewError(
            f"Case {case.id} asks for a label.", remedy="Answer {label: ...}, or give it back."
        )
    offered = list(case.labels.values())
    if offered and not any(_same(answer.label, label) for label in offered):
        raise ExceptionReviewError(
            f"{answer.label!r} is no answer to case {case.id}.",
            remedy=f"Choose one of {', '.join(map(repr, offered))}.",
        )


def feedback_of(given: Given) -> dict[str, Any]:
    """Return the feedback record of an answer, as a source would write it.

    The id is the same for the same person and case, so that an answer taken in twice counts once.
    """
    case, said = given.case, given.answer
    document: dict[str, Any] = {
        "feedback_id": f"review:{case.id}:{digest(given.person)[:16]}",
        "model_name": case.model_name,
        "model_version": case.model_version,
        "prediction_id": case.prediction_id,
        "partition": case.partition,
        "observed_at": given.answered_at,
        "label": said.label,
        "score": said.score,
        "comment": said.comment,
        "source": SOURCE,
        "source_kind": "person",
        "attributes": {"reviewer": given.person, "case": case.id, "reasons": list(case.reasons)},
    }
    return {name: value for name, value in document.items() if value is not None}


def read_labels(labels: Mapping[str, Label] | Sequence[Label] | None) -> dict[str, Label]:
    """Return the offered answers by the name under which they are shown.

    :raises ExceptionReviewError: they are no labels.
    """
    if isinstance(labels, Mapping):
        found = {str(name): label for name, label in labels.items()}
    else:
        found = {str(label): label for label in labels or ()}
    for label in found.values():
        if not isinstance(label, (str, bool, int, float)):
            raise ExceptionReviewError(
                f"{label!r} is no label.", remedy="A label is a text, a truth value or a number."
            )
    return found


def _same(one: Label, other: Label) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)
