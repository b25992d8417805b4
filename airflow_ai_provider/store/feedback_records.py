"""The port through which feedback is read, wherever it is kept.

The store's tables answer it here, and Delta tables in ``services.feedback_records``; one suite
holds both to the same answers (``tests/services/test_feedback_records.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.quick import Row
from airflow_ai_provider.core.promotion.life import Opinions
from airflow_ai_provider.store import feedback_disputes, feedback_opinions
from airflow_ai_provider.store.feedback import FeedbackStore, effective, superseded
from airflow_ai_provider.store.schema import feedback

_AT_ONCE = 500
_NO_OPINIONS = Opinions(answers=0, mean=0.0, deviation=0.0)


class FeedbackRecords(Protocol):
    """What is asked of feedback. Of a record that was revised only the newest revision counts."""

    def totals(self) -> dict[str, Any]:
        """Return what is there over all time, whole and per model."""

    def count(self, model_name: str, partition: str | None = None) -> int:
        """Return how many effective records there are for a model, and a partition if named.

        A window of days (``core.feedback.window``) is a partition too.
        """

    def counts(self, models: Collection[str]) -> dict[tuple[str, str | None], int]:
        """Return how many effective records there are, by model and partition."""

    def scores(self, models: Collection[str], since: datetime) -> dict[str, tuple[int, float]]:
        """Return count and mean of people's scores of each model since a moment."""

    def outcomes(self, model_name: str) -> Iterator[bytes]:
        """Yield the effective records with a number for a label that name a prediction.

        They come as text, in pieces of whole lines: ``OUTCOME`` in ``core.feedback.lines``.
        """

    def said(self, model_name: str) -> Iterator[bytes]:
        """Yield the effective records that name a prediction, as lines: ``SAID``, there."""

    def with_outcome(self, model_name: str, predictions: Collection[str]) -> set[str]:
        """Return those of ``predictions`` that have an outcome."""

    def opinions(self, model_name: str, *, partition: str | None = None) -> dict[str, Opinions]:
        """Return people's scores (1 to 5) of each version that they name, in a partition if named.

        A window of days (``core.feedback.window``) is a partition too.
        """

    def opinions_by_person(
        self, model_name: str, *, partition: str | None = None
    ) -> Iterator[Sequence[Any]]:
        """Yield what people said of predictions that several records are of.

        Rows have the fields prediction_id, model_version, source, attributes as JSON text, label
        as JSON text, label_number, score.
        """

    def contradicted(self, model_name: str, *, partition: str | None = None) -> dict[str, int]:
        """Return the predictions that people labelled differently, with how many labels."""

    def disliked(
        self,
        model_name: str,
        limit: float,
        *,
        most: int | None = None,
        partition: str | None = None,
    ) -> dict[str, float]:
        """Return the predictions that somebody scored ``limit`` or lower, the worst first."""

    def came_in(self, model_name: str, days: float) -> int:
        """Return how many records of a model came in during the last ``days``."""

    def documents(self, model_name: str | None, *, revisions: bool) -> Iterator[Mapping[str, Any]]:
        """Yield the effective records, or every revision, as they came: columns by name."""


def opinion_of(records: FeedbackRecords, model_name: str, version: str) -> Opinions:
    """Return people's scores of one version; with none, mean and deviation are 0."""
    return records.opinions(model_name).get(version, _NO_OPINIONS)


class StoredRecords(FeedbackStore):
    """The feedback in the tables of one store."""

    def counts(self, models: Collection[str]) -> dict[tuple[str, str | None], int]:
        """Return how many effective records there are, by model and partition."""
        table = feedback.c
        statement = (
            sa.select(table.model_name, table.partition, sa.func.count())
            .where(table.model_name.in_(models), ~superseded())
            .group_by(table.model_name, table.partition)
        )
        with self.store.read() as connection:
            return {(name, part): number for name, part, number in connection.execute(statement)}

    def scores(self, models: Collection[str], since: datetime) -> dict[str, tuple[int, float]]:
        """Return count and mean of people's scores of each model since a moment."""
        table = feedback.c
        statement = (
            sa.select(table.model_name, sa.func.count(), sa.func.avg(table.score))
            .where(*feedback_opinions.scored_since(models, since))
            .group_by(table.model_name)
        )
        with self.store.read() as connection:
            found = connection.execute(statement)
            return {name: (number, float(mean)) for name, number, mean in found}

    def with_outcome(self, model_name: str, predictions: Collection[str]) -> set[str]:
        """Return those of ``predictions`` that have an outcome."""
        names = sorted(set(predictions))
        found: set[str] = set()
        with self.store.read() as connection:
            for start in range(0, len(names), _AT_ONCE):
                statement = sa.select(feedback.c.prediction_id).where(
                    *effective(model_name),
                    feedback.c.source_kind == "outcome",
                    feedback.c.prediction_id.in_(names[start : start + _AT_ONCE]),
                )
                found.update(connection.execute(statement).scalars())
        return found

    def opinions(self, model_name: str, *, partition: str | None = None) -> dict[str, Opinions]:
        """Return people's scores of each version: see ``FeedbackRecords``."""
        return feedback_opinions.opinions_by_version(self.store, model_name, partition=partition)

    def opinions_by_person(
        self, model_name: str, *, partition: str | None = None
    ) -> Iterator[Sequence[Any]]:
        """Yield what people said of predictions: see ``FeedbackRecords``."""
        yield from feedback_disputes.opinions_by_person(self.store, model_name, partition=partition)

    def contradicted(self, model_name: str, *, partition: str | None = None) -> dict[str, int]:
        """Return the predictions that people labelled differently."""
        return feedback_disputes.contradicted(self.store, model_name, partition=partition)

    def disliked(
        self,
        model_name: str,
        limit: float,
        *,
        most: int | None = None,
        partition: str | None = None,
    ) -> dict[str, float]:
        """Return the predictions that somebody scored ``limit`` or lower."""
        return feedback_disputes.disliked(
            self.store, model_name, limit, most=most, partition=partition
        )

    def came_in(self, model_name: str, days: float) -> int:
        """Return how many effective records of a model came in during the last ``days``."""
        return feedback_opinions.came_in(self.store, model_name, days)

    def documents(self, model_name: str | None, *, revisions: bool) -> Iterator[Mapping[str, Any]]:
        """Yield the effective records, or every revision, in the order of arrival."""
        statement = sa.select(feedback).order_by(feedback.c.sequence)
        if not revisions:
            statement = statement.where(*effective(model_name))
        elif model_name is not None:
            statement = statement.where(feedback.c.model_name == model_name)
        with self.store.read() as connection:
            for row in connection.execution_options(yield_per=5000).execute(statement):
                yield dict(row._mapping)

    def revisions(self, columns: Sequence[str], *, size: int = 10_000) -> Iterator[Sequence[Row]]:
        """Yield ``columns`` of every revision of every model, in pieces of ``size``."""
        statement = sa.select(*(feedback.c[name] for name in columns))
        with self.store.read() as connection:
            found = connection.execution_options(yield_per=size).execute(statement)
            for rows in found.partitions():
                yield [tuple(row) for row in rows]

    def is_empty(self) -> bool:
        """Whether the tables hold no record of any model."""
        with self.store.read() as connection:
            return connection.execute(sa.select(feedback.c.sequence).limit(1)).first() is None
