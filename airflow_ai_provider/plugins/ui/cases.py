"""The page of the exception queue; what people do there goes to the queue's own API."""

from __future__ import annotations

import json
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, Query, Request, Response

from airflow_ai_provider.core.feedback.parse import MAX_LABEL
from airflow_ai_provider.hooks.feedback import FeedbackHook
from airflow_ai_provider.plugins._guard import Seen, may_answer, may_see_answers
from airflow_ai_provider.plugins.exceptions import name_of, open_queue
from airflow_ai_provider.plugins.ui import frame
from airflow_ai_provider.services.views.exceptions import exceptions_view

MAX_COMMENT = 10_000


def add_case_routes(app: FastAPI) -> None:
    """Add the page to an application that guards it."""
    app.get("/ui/exceptions", response_model=None)(exceptions)


def exceptions(
    request: Request,
    user: GetUserDep,
    sight: Seen,
    model: Annotated[str, Query(max_length=500)] = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    """Return the queue as the user may see it, with a form for each case the user has claimed."""
    view = exceptions_view(
        open_queue().store,
        person=name_of(user),
        may_see=lambda dag: may_see_answers(user, dag),
        may_answer=lambda dag: may_answer(user, dag),
        model=model,
        page=page,
        sight=sight,
    )
    return frame.render(
        request,
        "exceptions.html",
        page="feedback",
        title="Exceptions",
        view=view,
        comments=FeedbackHook.settings().feedback_comments.value,
        max_comment=MAX_COMMENT,
        max_label=MAX_LABEL,
        as_json=_as_json,
    )


def _as_json(label: Any) -> str:
    """Return a label as JSON: its type is part of the answer."""
    return json.dumps(label, ensure_ascii=False)
