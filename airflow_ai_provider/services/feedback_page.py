"""The page about a model in use, from what the store has."""

from __future__ import annotations

from airflow_ai_provider.core.feedback.page import live_page
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exception_figures import queue_figures
from airflow_ai_provider.store.feedback_series import MetricSeries


def model_page(store: Store, model_name: str) -> str:
    """Return the page as HTML, whole in one file."""
    points = MetricSeries(store).read(model_name)
    return live_page(model_name, points, queue_figures(store, model_name).get(model_name))
