"""The ledger, the gates, the GPU-slot pool and feedback over HTTP, for who may see plugins.

Airflow does not guard a plugin's application, so every route asks its auth manager here, and the
routes that FastAPI adds by itself (which would answer anybody) are left out.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import Depends, FastAPI, HTTPException, Query

from airflow_ai_provider.core.errors import LedgerError
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.plugins._guard import Seen, need_token
from airflow_ai_provider.plugins._store import the_store
from airflow_ai_provider.plugins.exceptions import add_exception_routes
from airflow_ai_provider.plugins.feedback import add_feedback_routes
from airflow_ai_provider.plugins.feedback_metrics import add_feedback_metric_routes
from airflow_ai_provider.plugins.gpu import add_gpu_routes
from airflow_ai_provider.plugins.promotion import add_promotion_routes
from airflow_ai_provider.plugins.quality import add_quality_routes
from airflow_ai_provider.plugins.ui.app import add_ui_routes
from airflow_ai_provider.services.views.ledger import seen_records
from airflow_ai_provider.store.ledger import Ledger


def make_app() -> FastAPI:
    """Return the application.

    Nobody who is not logged in gets an answer from it, and no change is made with the cookie alone.
    """
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(requires_access_view(AccessView.PLUGINS)), Depends(need_token)],
    )
    app.get("/ledger")(list_records)
    app.get("/ledger/verify")(verify)
    app.get("/ledger/{record_id}")(get_record)
    add_exception_routes(app)
    add_feedback_routes(app)
    add_feedback_metric_routes(app)
    add_gpu_routes(app)
    add_promotion_routes(app)
    add_quality_routes(app)
    add_ui_routes(app)
    return app


def list_records(
    sight: Seen,
    kind: GateKind | None = None,
    subject: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[dict[str, Any]]:
    """Return gate records, newest first."""
    found = Ledger(the_store()).search(
        kind=kind,
        subject=subject,
        newest_first=True,
        limit=limit,
        but_below=sight.hidden_subjects(),
    )
    return seen_records(found, sight)


def get_record(sight: Seen, record_id: str) -> dict[str, Any]:
    """Return one gate record."""
    ledger = Ledger(the_store())
    try:
        found = seen_records([ledger.get(record_id)], sight)
    except LedgerError:
        found = []
    if not found:
        raise HTTPException(404, "The ledger has no such record.")
    return found[0]


def verify() -> dict[str, Any]:
    """Say whether the chain of gate records is whole."""
    records, broken = Ledger(the_store()).verify()
    return {"records": records, "ok": broken is None, "first_bad": broken and asdict(broken)}
