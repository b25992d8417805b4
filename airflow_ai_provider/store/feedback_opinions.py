"""What people say of a version, and whether anything is said at all."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.record import SourceKind
from airflow_ai_provider.core.promotion.life import Opinions
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import effective, of_part, superseded
from airflow_ai_provider.store.schema import feedback, feedback_batch

BY_PEOPLE = feedback.c.source_kind == SourceKind.PERSON.value


def peoples_scores(*where: sa.ColumnElement[bool]) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions that leave the scores that people gave and did not revise, where ``where`` holds.

    Whoever counts or averages scores does it of these.
    """
    return (*where, feedback.c.score.is_not(None), BY_PEOPLE, ~superseded())


def scored_since(models: Collection[str], since: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions that leave people's scores of ``models`` since a moment."""
    return peoples_scores(feedback.c.model_name.in_(models), feedback.c.observed_at >= since)


def opinions_by_version(
    store: Store, model_name: str, *, partition: str | None = None
) -> dict[str, Opinions]:
    """Return people's scores (1 to 5) of each version that they name, in a partition if named."""
    score = feedback.c.score
    statement = (
        sa.select(
            feedback.c.model_version,
            sa.func.count(),
            sa.func.avg(score),
            sa.func.avg(score * score),
        )
        .where(*peoples_scores(feedback.c.model_name == model_name, *of_part(partition)))
        .where(feedback.c.model_version.is_not(None))
        .group_by(feedback.c.model_version)
    )
    with store.read() as connection:
        rows = connection.execute(statement).all()
    found = {}
    for version, count, mean, squares in rows:
        spread = max(0.0, float(squares) - float(mean) ** 2)
        deviation = math.sqrt(spread * count / (count - 1)) if count > 1 else 0.0
        found[version] = Opinions(answers=int(count), mean=float(mean), deviation=deviation)
    return found


def came_in(store: Store, model_name: str, days: float) -> int:
    """Return how many effective records of a model came in during the last ``days``."""
    with store.read() as connection:
        since = store.utcnow(connection) - timedelta(days=days)
        statement = (
            sa.select(sa.func.count())
            .select_from(feedback.join(feedback_batch, feedback_batch.c.id == feedback.c.batch_id))
            .where(*effective(model_name), feedback_batch.c.created_at >= since)
        )
        return int(connection.execute(statement).scalar_one())


def came_in_after(store: Store, model_name: str, since: datetime | None) -> int:
    """Return how many records of a model were stored or revised after ``since`` (None: ever)."""
    statement = sa.select(feedback_batch.c.news)
    if since is not None:
        statement = statement.where(feedback_batch.c.created_at > since)
    with store.read() as connection:
        return sum(news.get(model_name, 0) for (news,) in connection.execute(statement))
