"""Who may look, and who may change: Airflow's auth manager decides, and nothing is open by default.

A browser sends Airflow's cookie along with whatever another site makes it send. So a change that
is asked for with the cookie must also carry a token that only our own pages know: an HMAC (RFC
2104) over user and day, under the secret that signs Airflow's own tokens. It is not bound to the
cookie, since auth managers change that one while a page is open. A request with a bearer token
carries what no other site can add, and needs no second one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from functools import cache
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, bearer_scheme
from airflow.configuration import conf
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials

from airflow_ai_provider.core.lifecycle.visible import Sight, Viewer
from airflow_ai_provider.plugins._store import the_store
from airflow_ai_provider.services.seeing import sight_of

CSRF_HEADER = "X-Airflow-AI-Token"
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer_scheme)]
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_DAY = 86_400


def need_token(request: Request, user: GetUserDep, bearer: Bearer) -> None:
    """Refuse a change that another site may have made the browser ask for.

    It stands before every route of the application, so that a new one cannot forget it; and it
    leaves the token of who is logged in where pages find it (``token_for_page``).

    :raises HTTPException: 403: it came with the cookie and without the page's token.
    """
    today = int(time.time() // _DAY)
    request.state.airflow_ai_token = token_of(str(user.get_id()), today)
    # as Airflow itself decides between the two (``core_api.security.get_user``)
    if request.method in _READS or (bearer and bearer.scheme.lower() == "bearer"):
        return
    given = request.headers.get(CSRF_HEADER, "").encode()
    days = (today, today - 1)  # a page may have been made before midnight
    own = (token_of(str(user.get_id()), day).encode() for day in days)
    if not any(hmac.compare_digest(given, each) for each in own):
        raise HTTPException(403, "The page's token is missing or old: load the page anew.")


def token_of(user_id: str, day: int) -> str:
    """Return the token that changes from a user's pages carry on ``day``, counted from 1970."""
    return hmac.new(_secret(), f"{day}:{user_id}".encode(), hashlib.sha256).hexdigest()


def token_for_page(request: Request) -> str:
    """Return the token for the page that is made; empty where nobody is logged in."""
    return str(getattr(request.state, "airflow_ai_token", ""))


def viewer_of(user: Any) -> Viewer:
    """Return a user's names and the names of their roles, as far as the auth manager tells them."""
    role = getattr(user, "role", None)
    roles = getattr(user, "roles", None) or ([role] if role else [])
    return Viewer(
        users=frozenset({str(user.get_id()), str(user.get_name())}),
        roles=frozenset(str(getattr(each, "name", each)) for each in roles),
    )


def sight_of_user(user: GetUserDep) -> Sight:
    """Return what the user may not see of projects and models."""
    return sight_of(the_store(), viewer_of(user))


Seen = Annotated[Sight, Depends(sight_of_user)]


def may_start_runs(user: GetUserDep, dag_id: str) -> bool:
    """Whether the user may start runs of a DAG."""
    return _may(user, "POST", DagAccessEntity.RUN, dag_id)


def may_see_answers(user: GetUserDep, dag_id: str | None) -> bool:
    """Whether the user may see what a DAG asks people; any DAG, where none is named."""
    return _may(user, "GET", DagAccessEntity.HITL_DETAIL, dag_id)


def may_answer(user: GetUserDep, dag_id: str | None) -> bool:
    """Whether the user may answer what a DAG asks people; any DAG, where none is named."""
    return _may(user, "PUT", DagAccessEntity.HITL_DETAIL, dag_id)


def _may(user: GetUserDep, method: Any, entity: DagAccessEntity, dag_id: str | None) -> bool:
    return bool(
        get_auth_manager().is_authorized_dag(
            method=method,
            access_entity=entity,
            details=DagDetails(id=dag_id) if dag_id else None,
            user=user,
        )
    )


@cache
def _secret() -> bytes:
    """Return the key: Airflow's own where it is set, else one for the life of this process."""
    for section, option in (("api_auth", "jwt_secret"), ("api", "secret_key")):
        if found := conf.get(section, option, fallback=None):
            return f"airflow-ai-pages:{found}".encode()
    return secrets.token_bytes(32)
