"""The routes of the pages. Who may see plugins may look; each change asks for its own right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timezone
from typing import Annotated, Any, Literal

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_ai_provider.core.errors import AirflowAiError, LifecycleError
from airflow_ai_provider.core.feedback.page import colours
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.plugins._guard import Seen, may_start_runs
from airflow_ai_provider.plugins._store import the_store
from airflow_ai_provider.plugins.ui import draw, frame
from airflow_ai_provider.plugins.ui.cases import add_case_routes
from airflow_ai_provider.services import project_view
from airflow_ai_provider.services.views.feedback import feedback_view, model_feedback_view
from airflow_ai_provider.services.views.gpu import gpu_view
from airflow_ai_provider.services.views.ledger import chain, exported, ledger_view, record_view
from airflow_ai_provider.services.views.models import model_view, models_view

GATES_SHOWN = 30
ROLLBACK_DAG = "rollback"  # of the templates
Name = Annotated[str, Query(max_length=500)]
Page = Annotated[int, Query(ge=1, le=100_000)]
VerdictName = Literal["", "pass", "warn", "fail", "override"]


def add_ui_routes(app: FastAPI) -> None:
    """Add the pages to an application that guards them."""
    pages: dict[str, Callable[..., Any]] = {
        "board": board,
        "project": project,
        "gpus": gpus,
        "models": models,
        "model": model,
        "feedback": feedback,
        "live": live,
        "ledger": ledger,
        "record": record,
        "ledger/verify": verify,
        "ledger/export": export,
        "static/{name}": frame.static,
    }
    for path, page in pages.items():
        app.get(f"/ui/{path}", response_model=None)(page)
    add_case_routes(app)
    app.exception_handler(StarletteHTTPException)(frame.trouble)
    app.exception_handler(AirflowAiError)(frame.unavailable)
    app.get("/ui", response_model=None)(home)


def home(request: Request) -> Response:
    """Send to the first page."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/ui/{frame.PAGES[0][0]}")


def board(request: Request, sight: Seen) -> Response:
    """Return the projects as cards, by phase."""
    view = project_view.board(the_store(), today=_today(), sight=sight)
    return frame.render(request, "board.html", page="board", title="Board", view=view)


def project(request: Request, sight: Seen, name: Name) -> Response:
    """Return everything about one project."""
    try:
        view = project_view.project(the_store(), name, today=_today(), sight=sight)
    except LifecycleError as error:
        raise HTTPException(404, str(error)) from error
    return frame.render(
        request,
        "project.html",
        page="board",
        title=view["title"],
        view=view,
        gantt=draw.gantt_of(view["timeline"]),
        shown=GATES_SHOWN,
    )


def _today() -> date:
    return datetime.now(timezone.utc).date()


def gpus(request: Request, sight: Seen) -> Response:
    """Return the page of devices, queue and use."""
    view = gpu_view(the_store(), sight=sight)
    return frame.render(
        request, "gpus.html", page="gpus", title="GPU slots", view=view, use=draw.use_of(view)
    )


def models(request: Request, sight: Seen, search: Name = "", page: Page = 1) -> Response:
    """Return the list of models, with what is where."""
    view = models_view(the_store(), search=search, page=page, sight=sight)
    return frame.render(request, "models.html", page="models", title="Models", view=view)


def model(request: Request, user: GetUserDep, sight: Seen, name: Name) -> Response:
    """Return the page of one model; who may start the rollback DAG is offered to."""
    view = model_view(the_store(), name, sight=sight)
    if view is None:
        raise HTTPException(404, "The ledger knows no such model.")
    view["way_back"] = _way_back(view) if may_start_runs(user, ROLLBACK_DAG) else None
    return frame.render(request, "model.html", page="models", title=name, view=view)


def _way_back(view: dict[str, Any]) -> dict[str, Any]:
    """Return what the form needs; Airflow's own API starts the run, as who is logged in."""
    now = {step["holder"]["version"] for step in view["path"] if step["holder"]}
    earlier = dict.fromkeys(entry["version"] for entry in view["history"])
    return {
        "dag_id": ROLLBACK_DAG,
        "action": f"../../api/v2/dags/{ROLLBACK_DAG}/dagRuns",
        "versions": [version for version in earlier if version not in now][:20],
    }


def feedback(request: Request, sight: Seen, search: Name = "", page: Page = 1) -> Response:
    """Return the list of models with live quality, and the counts of what came in."""
    view = feedback_view(the_store(), search=search, page=page, sight=sight)
    return frame.render(request, "feedback.html", page="feedback", title="Feedback", view=view)


def live(request: Request, sight: Seen, name: Name) -> Response:
    """Return one model's live quality over time."""
    view = model_feedback_view(the_store(), name, sight=sight)
    if view is None:
        raise HTTPException(404, "Nothing was measured of such a model.")
    return frame.render(
        request,
        "live.html",
        page="feedback",
        title=name,
        view=view,
        pictures=draw.live_pictures(view["points"]),
        legend=colours(view["points"]),
    )


def ledger(
    request: Request,
    sight: Seen,
    kind: GateKind | Literal[""] = "",
    subject: Name = "",
    verdict: VerdictName = "",
    page: Page = 1,
) -> Response:
    """Return the records that a search finds, newest first."""
    asked = kind.value if isinstance(kind, GateKind) else ""
    view = ledger_view(
        the_store(), kind=asked, subject=subject, verdict=verdict, page=page, sight=sight
    )
    return frame.render(request, "ledger.html", page="ledger", title="Ledger", view=view)


def record(request: Request, sight: Seen, id: Name) -> Response:
    """Return one record."""
    view = record_view(the_store(), id, sight=sight)
    if view is None:
        raise HTTPException(404, "The ledger has no such record.")
    return frame.render(request, "record.html", page="ledger", title=view["subject"], view=view)


def verify() -> dict[str, Any]:
    """Say whether the chain is whole."""
    return chain(the_store())


def export(sight: Seen) -> StreamingResponse:
    """Return the whole ledger as JSON Lines."""
    headers = {**frame.HEADERS, "Content-Disposition": 'attachment; filename="ledger.jsonl"'}
    return StreamingResponse(
        exported(the_store(), sight=sight), media_type="application/x-ndjson", headers=headers
    )
