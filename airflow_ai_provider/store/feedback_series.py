"""The series of live metrics: one point per model, version, partition, slice and metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import feedback_metric
from airflow_ai_provider.store.upsert import dialect_insert


class MetricSeries:
    """The series of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write points of the series; a point that is there is replaced."""
        if not rows:
            return
        with self.store.write() as connection:
            now = self.store.utcnow(connection)
            statement = dialect_insert(connection, feedback_metric)
            figures = {
                n: statement.excluded[n] for n in ("value", "low", "high", "n", "computed_at")
            }
            keys = [column.name for column in feedback_metric.primary_key]
            # in one order, so that of two writers of the same points none waits for the other
            ordered = sorted(rows, key=lambda row: [str(row[key]) for key in keys])
            connection.execute(
                statement.on_conflict_do_update(index_elements=keys, set_=figures),
                [{**row, "computed_at": now} for row in ordered],
            )

    def models(self) -> list[str]:
        """Return the models that were ever measured."""
        statement = sa.select(feedback_metric.c.model_name).distinct()
        with self.store.read() as connection:
            return sorted(connection.execute(statement).scalars())

    def read(
        self, model_name: str, *, metric: str | None = None, slice_: str | None = ""
    ) -> list[dict[str, Any]]:
        """Return the series of a model by partition; ``slice_=None`` means every slice."""
        statement = sa.select(feedback_metric).where(feedback_metric.c.model_name == model_name)
        if metric is not None:
            statement = statement.where(feedback_metric.c.metric == metric)
        if slice_ is not None:
            statement = statement.where(feedback_metric.c.slice == slice_)
        statement = statement.order_by(
            feedback_metric.c.partition,
            feedback_metric.c.model_version,
            feedback_metric.c.slice,
            feedback_metric.c.metric,
        )
        with self.store.read() as connection:
            return [dict(row._mapping) for row in connection.execute(statement)]
