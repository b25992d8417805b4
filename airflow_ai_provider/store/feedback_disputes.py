"""What people say of single predictions: what they contradict each other on, or dislike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import effective, of_part
from airflow_ai_provider.store.feedback_opinions import BY_PEOPLE
from airflow_ai_provider.store.schema import feedback


def contradicted(store: Store, model_name: str, *, partition: str | None = None) -> dict[str, int]:
    """Return the predictions that people labelled differently, with how many labels there are."""
    different = sa.func.count(sa.distinct(feedback.c.label))
    statement = (
        sa.select(feedback.c.prediction_id, different)
        .where(*effective(model_name), *of_part(partition), BY_PEOPLE)
        .where(feedback.c.prediction_id.is_not(None), feedback.c.label.is_not(None))
        .group_by(feedback.c.prediction_id)
        .having(different > 1)
    )
    with store.read() as connection:
        return {name: int(number) for name, number in connection.execute(statement)}


def disliked(
    store: Store,
    model_name: str,
    limit: float,
    *,
    most: int | None = None,
    partition: str | None = None,
) -> dict[str, float]:
    """Return the predictions that somebody scored ``limit`` or lower, with the lowest score."""
    worst = sa.func.min(feedback.c.score)
    statement = (
        sa.select(feedback.c.prediction_id, worst)
        .where(*effective(model_name), *of_part(partition), BY_PEOPLE)
        .where(feedback.c.prediction_id.is_not(None), feedback.c.score <= limit)
        .group_by(feedback.c.prediction_id)
        .order_by(worst, feedback.c.prediction_id)
        .limit(most)
    )
    with store.read() as connection:
        return {name: float(score) for name, score in connection.execute(statement)}


def opinions_by_person(
    store: Store, model_name: str, *, partition: str | None = None, size: int = 50_000
) -> Iterator[Sequence[Any]]:
    """Yield what people said of predictions that several records are of, in pieces of ``size``.

    Rows are (prediction_id, model_version, source, attributes as JSON text, label as JSON text,
    label_number, score).
    """
    named = feedback.c.prediction_id.is_not(None)
    where = [*effective(model_name), *of_part(partition), BY_PEOPLE, named]
    several = (
        sa.select(feedback.c.prediction_id)
        .where(*where)
        .group_by(feedback.c.prediction_id)
        .having(sa.func.count() > 1)
    )
    columns = ("prediction_id", "model_version", "source", "attributes", "label", "label_number")
    statement = (
        sa.select(*(feedback.c[name] for name in columns), feedback.c.score)
        .where(*where, feedback.c.prediction_id.in_(several))
        .order_by(feedback.c.prediction_id, feedback.c.sequence)
    )
    with store.read() as connection:
        result = connection.execution_options(yield_per=size).execute(statement)
        yield from result.partitions()
