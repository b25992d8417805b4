"""Models in use over HTTP: the series of live metrics."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query

from airflow_ai_provider.core.gate import plain
from airflow_ai_provider.plugins._guard import Seen
from airflow_ai_provider.plugins._store import the_store
from airflow_ai_provider.store.feedback_series import MetricSeries

Name = Annotated[str, Query(min_length=1, max_length=250)]


def add_feedback_metric_routes(app: FastAPI) -> None:
    """Add the routes to an application that guards them."""
    app.get("/feedback/metrics")(series)


def series(sight: Seen, model: Name, metric: str | None = None) -> list[dict[str, Any]]:
    """Return the points of the series, slices and all."""
    if not sight.shows_model(model):
        return []
    found = MetricSeries(the_store()).read(model, metric=metric, slice_=None)
    return [plain(point) for point in found]
