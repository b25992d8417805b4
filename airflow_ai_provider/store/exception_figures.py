"""What the exception queue looks like as a whole."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.exceptions import CaseState
from airflow_ai_provider.core.feedback.window import read_window
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import exception_case


def queue_figures(store: Store, model_name: str | None = None) -> dict[str, Any]:
    """Return ``{model: {"open", "answered", "expired", "withdrawn", "oldest_s"}}``.

    ``oldest_s`` is how many seconds the oldest open case has waited; None with none open.
    """
    table = exception_case.c
    oldest = sa.type_coerce(sa.func.min(table.created_at), table.created_at.type)
    statement = sa.select(table.model_name, table.state, sa.func.count(), oldest).group_by(
        table.model_name, table.state
    )
    if model_name is not None:
        statement = statement.where(table.model_name == model_name)
    found: dict[str, Any] = {}
    with store.read() as connection:
        now = store.utcnow(connection)
        for model, state, number, since in connection.execute(statement):
            figures = found.setdefault(model, {**{s.value: 0 for s in CaseState}, "oldest_s": None})
            figures[state] = number
            if state == CaseState.OPEN.value:
                figures["oldest_s"] = round((now - since).total_seconds(), 1)
    return dict(sorted(found.items()))


def exceptions_of(store: Store, model_name: str, partition: str | None) -> dict[str | None, int]:
    """Return how many exceptions each version of a model has had, in a partition if named.

    Of a window of days those count that were queued in it.
    """
    table = exception_case.c
    statement = (
        sa.select(table.model_version, sa.func.count())
        .where(table.model_name == model_name)
        .group_by(table.model_version)
    )
    window = read_window(partition)
    if window is not None:
        statement = statement.where(table.created_at >= window.begin, table.created_at < window.end)
    elif partition is not None:
        statement = statement.where(table.partition == partition)
    with store.read() as connection:
        return {version: int(number) for version, number in connection.execute(statement)}


def open_cases(store: Store, model_name: str) -> dict[str, str]:
    """Return the predictions that open cases of a model are of, by the id of the case."""
    table = exception_case.c
    statement = sa.select(table.id, table.prediction_id).where(
        table.model_name == model_name, table.state == CaseState.OPEN.value
    )
    with store.read() as connection:
        return dict(tuple(row) for row in connection.execute(statement))
