"""The exception queue over HTTP: list, claim, answer, give back.

Who may answer Airflow's own human-in-the-loop of a DAG may answer the cases that it queued, and
nobody else; a case that no DAG queued is for who may do so everywhere.
"""

from __future__ import annotations

from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Body, FastAPI, HTTPException, Query

from airflow_ai_provider.core.errors import ExceptionReviewError, FeedbackRecordError
from airflow_ai_provider.core.feedback.exceptions import Case, CaseState
from airflow_ai_provider.core.lifecycle.visible import Sight
from airflow_ai_provider.hooks.feedback import FeedbackHook
from airflow_ai_provider.plugins._guard import Seen, may_answer, may_see_answers
from airflow_ai_provider.plugins._store import the_store
from airflow_ai_provider.services.exceptions import ExceptionService, read_answer, shown

Name = Annotated[str | None, Query(min_length=1, max_length=250)]


def add_exception_routes(app: FastAPI) -> None:
    """Add the routes to an application that guards them."""
    app.get("/exceptions")(list_cases)
    app.get("/exceptions/mine")(claimed)
    app.post("/exceptions/claim")(claim)
    app.post("/exceptions/{case_id}/answer")(answer)
    app.post("/exceptions/{case_id}/return")(give_back)


def list_cases(
    user: GetUserDep,
    sight: Seen,
    model: Name = None,
    state: CaseState | None = CaseState.OPEN,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> list[dict[str, Any]]:
    """Return the cases that the user may see, the most urgent first."""
    found = open_queue().queue.find(model_name=model, state=state, limit=limit)
    may = {dag: may_see_answers(user, dag) for dag in {case.dag_id for case in found}}
    return [
        shown(case) for case in found if may[case.dag_id] and sight.shows_model(case.model_name)
    ]


def claimed(user: GetUserDep, sight: Seen) -> list[dict[str, Any]]:
    """Return the cases that the user looks at."""
    found = open_queue().queue.find(holder=name_of(user))
    return [shown(case) for case in found if sight.shows_model(case.model_name)]


def claim(
    user: GetUserDep,
    sight: Seen,
    model: Annotated[str | None, Body(min_length=1, max_length=250)] = None,
    case: Annotated[str | None, Body(min_length=1, max_length=64)] = None,
    limit: Annotated[int, Body(ge=1, le=50)] = 1,
) -> list[dict[str, Any]]:
    """Give the user free cases to look at, and return them; none are free is an empty list."""
    service = open_queue()
    waiting = service.queue.find(case_id=case, model_name=model, state=CaseState.OPEN, limit=None)
    dags = {found.dag_id for found in waiting if sight.shows_model(found.model_name)}
    may = [dag for dag in dags if may_answer(user, dag)]
    if dags and not may:
        raise HTTPException(403, "You may not answer for the DAGs that queued these cases.")
    taken = service.claim(
        name_of(user),
        model_name=model,
        case_id=case,
        limit=limit,
        dag_ids=may,
        but_models=sight.models,
    )
    return [shown(found) for found in taken]


def answer(
    user: GetUserDep, sight: Seen, case_id: str, said: Annotated[dict[str, Any], Body()]
) -> dict[str, Any]:
    """Take the user's answer in: ``{"label"}`` or ``{"score"}``, with a ``comment`` perhaps."""
    service = open_queue()
    _guard(service, user, sight, case_id)
    try:
        return service.answer(case_id, name_of(user), read_answer(said))
    except FeedbackRecordError as error:
        raise HTTPException(422, str(error)) from error
    except ExceptionReviewError as error:
        raise HTTPException(409, str(error)) from error


def give_back(
    user: GetUserDep,
    sight: Seen,
    case_id: str,
    cannot_tell: Annotated[bool, Body(embed=True)] = True,
) -> dict[str, Any]:
    """Free the user's seat; who cannot tell is not asked again."""
    service = open_queue()
    _guard(service, user, sight, case_id)
    try:
        service.queue.give_back(case_id, name_of(user), cannot_tell=cannot_tell)
    except ExceptionReviewError as error:
        raise HTTPException(409, str(error)) from error
    return {"case": case_id}


def _guard(service: ExceptionService, user: Any, sight: Sight, case_id: str) -> Case:
    found = service.queue.find(case_id=case_id)
    there = found and sight.shows_model(found[0].model_name)
    if not there or not may_see_answers(user, found[0].dag_id):
        raise HTTPException(404, "There is no such case.")
    if not may_answer(user, found[0].dag_id):
        raise HTTPException(403, "You may not answer for the DAG that queued this case.")
    return found[0]


def name_of(user: Any) -> str:
    """Return the name of a user, as Airflow's own assignments have it."""
    return str(user.get_id())


def open_queue() -> ExceptionService:
    """Return the queue.

    :raises AirflowAiError: the store cannot be opened; the application answers 503.
    """
    return ExceptionService(the_store(), FeedbackHook.settings())
