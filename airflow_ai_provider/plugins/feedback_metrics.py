"""Models in use over HTTP: the series of live metrics, and the page that draws it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import HTMLResponse

from airflow_ai_provider.core.errors import AirflowAiError
from airflow_ai_provider.core.gate import plain
from airflow_ai_provider.core.quality.page.render import POLICY
from airflow_ai_provider.hooks.store import AiStoreHook
from airflow_ai_provider.services.feedback_page import model_page
from airflow_ai_provider.services.store import open_store
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_series import MetricSeries

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

Name = Annotated[str, Query(min_length=1, max_length=250)]


def add_feedback_metric_routes(app: FastAPI) -> None:
    """Add the routes to an application that guards them."""
    app.get("/feedback/metrics")(series)
    app.get("/feedback/model", response_class=HTMLResponse)(page)


def series(model: Name, metric: str | None = None) -> list[dict[str, Any]]:
    """Return the points of the series, slices and all."""
    found = MetricSeries(_store()).read(model, metric=metric, slice_=None)
    return [plain(point) for point in found]


def page(model: Name) -> HTMLResponse:
    """Return the page about one model."""
    return HTMLResponse(model_page(_store(), model), headers=_HEADERS)


def _store() -> Store:
    try:
        return open_store(AiStoreHook().get_url(), create=False)
    except AirflowAiError as error:
        raise HTTPException(503, str(error)) from error
