"""A model's history and its open alarms over HTTP, read-only, as the script tells them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Any

from fastapi import FastAPI, Query

from airflow_ai_provider.plugins._guard import Seen
from airflow_ai_provider.plugins._store import the_store
from airflow_ai_provider.services.promotion.timeline import history
from airflow_ai_provider.services.promotion.watching import open_alarms
from airflow_ai_provider.services.views.ledger import seen_records
from airflow_ai_provider.store.ledger import Ledger


def add_promotion_routes(app: FastAPI) -> None:
    """Add the routes to an application that guards them."""
    app.get("/promotion/history")(history_of)
    app.get("/promotion/alarms")(alarms_of)


def history_of(
    sight: Seen, model: Annotated[str, Query(min_length=1)], at: datetime | None = None
) -> list[dict[str, Any]]:
    """Return the intervals in the shape of ``airflow-ai promotion history --json``.

    A time without a zone is in UTC.
    """
    if not sight.shows_model(model):
        return []
    if at is not None and at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)
    return history(model, ledger=Ledger(the_store()), at=at)


def alarms_of(sight: Seen, model: Annotated[str, Query(min_length=1)]) -> list[dict[str, Any]]:
    """Return the records of what was done to the model outside Airflow and is not mended yet."""
    if not sight.shows_model(model):
        return []
    return seen_records(open_alarms(model, ledger=Ledger(the_store())), sight)
