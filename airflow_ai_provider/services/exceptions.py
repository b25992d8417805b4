"""The exception loop, whole: find what people must look at, let them answer, take the answers in.

Works without Airflow: ``ExceptionService(open_store()).claim("ann")``. An answer is feedback of a
person (attribute ``reviewer``), taken in as all feedback is: once, whatever dies in between.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from airflow_ai_provider.adapters import exception_search
from airflow_ai_provider.core.errors import ExceptionReviewError, FeedbackRecordError
from airflow_ai_provider.core.feedback.comments import kept
from airflow_ai_provider.core.feedback.exceptions import (
    Answer,
    Asking,
    Case,
    Finding,
    Given,
    Reason,
    feedback_of,
)
from airflow_ai_provider.core.feedback.parse import parse
from airflow_ai_provider.core.feedback.source import Position, SourceRecord
from airflow_ai_provider.core.feedback.window import read_window
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.services.feedback_records import records_of
from airflow_ai_provider.services.feedback_settings import FeedbackSettings
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exception_answers import ExceptionAnswers
from airflow_ai_provider.store.exception_figures import open_cases, queue_figures
from airflow_ai_provider.store.exceptions import HOLD_FOR, Added, ExceptionQueue
from airflow_ai_provider.store.feedback_records import FeedbackRecords

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Search:
    """What makes a prediction an exception.

    ``min_confidence``: the model is less sure than this; ``max_score``: somebody scored it so or
    lower; ``disputed``: people contradict each other, or somebody's label is further than
    ``margin`` from the model's score. ``show`` are columns of the prediction log for the person.
    """

    min_confidence: float | None = None
    max_score: float | None = None
    disputed: bool = True
    margin: float = 0.5
    show: tuple[str, ...] = ()
    limit: int = 1000


class ExceptionService:
    """The exception queue of one store; settings come from the environment unless given."""

    def __init__(self, store: Store, settings: FeedbackSettings | None = None) -> None:
        self.store = store
        self.settings = settings or FeedbackSettings.from_environment()
        self.queue = ExceptionQueue(store)
        self.answers = ExceptionAnswers(self.queue)

    def collect(
        self,
        *,
        model_name: str,
        search: Search,
        asking: Asking,
        predictions: str | None = None,
        partition: str | None = None,
    ) -> Added:
        """Put what ``search`` finds into the queue, and take out what reality has answered since.

        ``partition`` is a part of the data as the log names it, or a window of its days. Without a
        prediction log only what people said of predictions is looked at, and the part is the
        feedback's own.

        :raises FeedbackSourceError: the prediction log cannot be read or lacks a column.
        """
        records = records_of(self.store, model_name)
        if predictions is None:
            found = _heard(records, model_name, search, partition)
        else:
            found = exception_search.search(
                predictions,
                records.outcomes(model_name),
                model_name=model_name,
                partition=partition,
                min_confidence=search.min_confidence,
                margin=search.margin if search.disputed else float("inf"),
                wanted=_wanted(records, model_name, search),
                show=search.show,
                limit=search.limit,
            )
        self.settle(model_name)
        return self.queue.add(found, asking)

    def settle(self, model_name: str) -> int:
        """Withdraw the open cases whose prediction has an outcome by now; return how many."""
        waiting = open_cases(self.store, model_name)
        if not waiting:
            return 0
        known = records_of(self.store, model_name).with_outcome(model_name, waiting.values())
        moot = [case for case, prediction in waiting.items() if prediction in known]
        return self.queue.withdraw(moot) if moot else 0

    def claim(
        self, person: str, *, hold_for: float = HOLD_FOR, limit: int = 1, **which: Any
    ) -> list[Case]:
        """Return the cases that ``person`` looks at from now on; see ``ExceptionQueue.claim``."""
        return self.queue.claim(person, hold_for=hold_for, limit=limit, **which)

    def answer(
        self, case_id: str, holder: str, answer: Answer, *, by: str | None = None
    ) -> dict[str, Any]:
        """Record an answer and take it in as feedback.

        Of its comment no more is recorded than ``feedback_comments`` lets feedback keep.

        Returns ``{"case", "feedback_id", "batch"}``.

        :raises ExceptionReviewError: the case is not the holder's, or did not ask for this.
        :raises FeedbackRecordError: the answer is no feedback: too long, say.
        """
        (case,) = self.queue.find(case_id=case_id) or (None,)
        if case is None:
            raise ExceptionReviewError(
                f"There is no case {case_id}.", remedy="Look at the list of open cases."
            )
        _check_fits(case, by or holder, answer)
        given = self.queue.answer(case_id, holder, self._kept(answer), by=by)
        batch = self.deliver()
        return {"case": case_id, "feedback_id": feedback_of(given)["feedback_id"], "batch": batch}

    def deliver(self) -> int | None:
        """Take in every answer that is not feedback yet; return the batch, None when there is none.

        Whatever died between an answer and this: the same answer is the same record.
        """
        given = [replace(g, answer=self._kept(g.answer)) for g in self.answers.undelivered()]
        if not given:
            return None
        counts = FeedbackService(self.store, self.settings).ingest_from([_Answers(given)])
        self.answers.delivered(given, counts.batch)
        log.info("Batch %s took in %s answers", counts.batch, len(given))
        return counts.batch

    def figures(self, model_name: str | None = None) -> dict[str, Any]:
        """Return, per model, how many cases are in which state, and since when the oldest waits."""
        return queue_figures(self.store, model_name)

    def _kept(self, answer: Answer) -> Answer:
        if answer.comment is None:
            return answer
        return replace(answer, comment=kept(answer.comment, self.settings.feedback_comments))


class _Answers:
    """Answers as a source of feedback."""

    name = "exception review"

    def __init__(self, given: Sequence[Given]) -> None:
        self._given = given

    def read(self, position: Position | None) -> Iterator[SourceRecord]:
        del position
        for one in self._given:
            document = feedback_of(one)
            yield SourceRecord(f"case {one.case.id}", document, document)

    def position(self) -> None:
        return None


def _heard(
    records: FeedbackRecords, model_name: str, search: Search, partition: str | None
) -> list[Finding]:
    """Return what people said alone tells of, where reality has not answered."""
    wanted = _wanted(records, model_name, search, partition)
    known = records.with_outcome(model_name, wanted)
    found = [
        Finding(
            model_name=model_name,
            prediction_id=name,
            partition=None if read_window(partition) else partition,
            reason=reason,
            urgency=urgency,
            facts=facts,
        )
        for name, reasons in wanted.items()
        if name not in known
        for reason, urgency, facts in reasons
    ]
    return exception_search.worst(found, search.limit)


def _wanted(
    records: FeedbackRecords, model_name: str, search: Search, partition: str | None = None
) -> dict[str, list[tuple[Reason, float, Mapping[str, Any]]]]:
    wanted: dict[str, list[tuple[Reason, float, Mapping[str, Any]]]] = {}
    if search.disputed:
        for name, number in records.contradicted(model_name, partition=partition).items():
            facts = {"different labels": number}
            wanted.setdefault(name, []).append((Reason.DISPUTED, 1.0, facts))
    if search.max_score is not None:
        low = records.disliked(model_name, search.max_score, partition=partition)
        for name, score in low.items():
            told = (Reason.LOW_SCORE, (5 - score) / 4, {"lowest score": score})
            wanted.setdefault(name, []).append(told)
    return wanted


def _check_fits(case: Case, person: str, answer: Answer) -> None:
    """Refuse, before it is recorded, an answer that could never be taken in."""
    trial = Given(case=case, person=person, answer=answer, answered_at=case.created_at)
    document = feedback_of(trial)
    if answer.label is None and answer.score is None:
        return  # what the case asked for is told by the queue
    try:
        parse(document)
    except FeedbackRecordError as error:
        raise FeedbackRecordError(
            f"The answer to case {case.id} is no feedback: {error.message}.",
            remedy="Correct it and answer again.",
        ) from None


def shown(case: Case, *, now: datetime | None = None) -> dict[str, Any]:
    """Return a case in JSON's own types, as lists and the API tell it."""
    from airflow_ai_provider.core.gate import plain

    told: dict[str, Any] = plain({name: getattr(case, name) for name in Case.__dataclass_fields__})
    if now is not None:
        told["age_s"] = round((now - case.created_at).total_seconds(), 1)
    return told


def read_answer(found: Mapping[str, Any]) -> Answer:
    """Return the answer in a JSON object.

    :raises ExceptionReviewError: it has fields that an answer has not.
    """
    known: Sequence[str] = tuple(Answer.__dataclass_fields__)
    for name in found:
        if name not in known:
            raise ExceptionReviewError(
                f"An answer has no {name!r}.", remedy=f"It has {', '.join(known)}."
            )
    return Answer(**found)
