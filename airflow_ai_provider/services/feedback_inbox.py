"""Feedback that is sent to us record by record, and answered record by record.

Those who send at the same time are written together (``services.together``), so that a hundred
senders do not cost a hundred transactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.adapters.spool import Spool
from airflow_ai_provider.core.errors import FeedbackRecordError
from airflow_ai_provider.core.feedback.source import SourceRecord
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.services.feedback_intake import write_spooled
from airflow_ai_provider.services.feedback_sorting import (
    Sorting,
    Terms,
    latest_moment,
    spool_all,
    spooled,
    together,
)
from airflow_ai_provider.store.feedback_forgotten import read_forgotten
from airflow_ai_provider.store.schema import feedback

_AT_ONCE = 500


class Outcome(str, Enum):
    """What became of a record."""

    STORED = "stored"
    REVISED = "revised"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of one record, and why it was refused."""

    outcome: Outcome
    feedback_id: str | None = None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON, without what is not said."""
        told = {"feedback_id": self.feedback_id, "reason": self.reason}
        return {
            "outcome": self.outcome.value,
            **{key: value for key, value in told.items() if value is not None},
        }


@dataclass
class Parcel:
    """What one sender brings, and once it is in: the batch, and what became of each record."""

    source: str
    records: Sequence[SourceRecord]
    answers: list[Answer] = field(default_factory=list)
    batch: int | None = None


def take_parcels(service: FeedbackService, parcels: Sequence[Parcel]) -> None:
    """Take in what several sent at the same time as one batch; nobody's records make none.

    :raises StoreError: the store refused; nothing was kept.
    """
    parcels = [parcel for parcel in parcels if parcel.records]
    if not parcels:
        return
    terms = Terms(comments=service.settings.feedback_comments)
    forgotten = read_forgotten(service.store)
    sorting, not_after = Sorting(terms, forgotten), latest_moment()
    quick = sorting.quick(not_after=not_after)
    keys: list[tuple[str, str]] = []
    with Spool() as good, Spool() as bad:
        refused: dict[int, str] = {}
        number = 0
        for parcel in parcels:
            rows = together(quick, parcel.records)
            if rows is not None:
                spool_all(good, rows, sum(len(v) for row in rows for v in row if type(v) is str))
                keys += [(row[0], row[1]) for row in rows]
                number += len(rows)
                continue
            for found in parcel.records:
                try:
                    if found.problem is not None:
                        raise FeedbackRecordError(found.problem)
                    row = sorting.row(found.document, not_after=not_after)
                    spooled(good, row)
                    keys.append((row[0], row[1]))
                except FeedbackRecordError as error:
                    refused[number] = error.message
                    spooled(bad, sorting.refused(parcel.source, found, error.message))
                number += 1
        known: set[tuple[str, str]] = set()
        counts = write_spooled(
            service.records,
            (good, bad),
            sources=sorted({parcel.source for parcel in parcels}),
            forgotten=forgotten,
            terms=terms,
            first=lambda connection, _batch: known.update(_known(connection, keys)),
        )
    outcomes = iter(_outcomes(keys, known))
    number = 0
    for parcel in parcels:
        parcel.batch = counts.batch
        for _ in parcel.records:
            reason = refused.get(number)
            parcel.answers.append(
                next(outcomes)
                if reason is None
                else Answer(outcome=Outcome.QUARANTINED, reason=reason)
            )
            number += 1


def _known(connection: sa.Connection, keys: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the revisions that are there of the records that ``keys`` name."""
    ids = list(dict.fromkeys(feedback_id for feedback_id, _ in keys))
    found: set[tuple[str, str]] = set()
    for start in range(0, len(ids), _AT_ONCE):
        statement = sa.select(feedback.c.feedback_id, feedback.c.content_hash).where(
            feedback.c.feedback_id.in_(ids[start : start + _AT_ONCE])
        )
        found.update((row[0], row[1]) for row in connection.execute(statement))
    return found


def _outcomes(keys: Sequence[tuple[str, str]], known: set[tuple[str, str]]) -> list[Answer]:
    """Return what becomes of records that come in this order beside those that are known."""
    revisions, ids = set(known), {feedback_id for feedback_id, _ in known}
    answers = []
    for key in keys:
        if key in revisions:
            outcome = Outcome.DUPLICATE
        else:
            outcome = Outcome.REVISED if key[0] in ids else Outcome.STORED
        revisions.add(key)
        ids.add(key[0])
        answers.append(Answer(outcome=outcome, feedback_id=key[0]))
    return answers
