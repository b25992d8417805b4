"""Who may look, and who may change: Airflow's auth manager decides, and nothing is open by default.

A browser sends Airflow's cookie along with whatever another site makes it send. So a change that
is asked for with the cookie must also carry a token that only our own pages know: an HMAC (RFC
2104) over the session's cookie, under the secret that signs Airflow's own tokens. A request with a
bearer token carries what no other site can add, and needs no second one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from functools import cache

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from fastapi import HTTPException, Request

CSRF_HEADER = "X-Airflow-AI-Token"


def token_of(request: Request) -> str:
    """Return the token that changes from this session's pages carry; empty without a session."""
    session = request.cookies.get(COOKIE_NAME_JWT_TOKEN, "")
    if not session:
        return ""
    return hmac.new(_secret(), session.encode(), hashlib.sha256).hexdigest()


def need_token(request: Request) -> None:
    """Refuse a change that another site may have made the browser ask for.

    :raises HTTPException: 403: it came with the cookie and without the page's token.
    """
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return
    expected = token_of(request)
    given = request.headers.get(CSRF_HEADER, "")
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise HTTPException(403, "The page's token is missing or old: load the page anew.")


def roles_of(user: GetUserDep) -> frozenset[str]:
    """Return the names of a user's roles, as far as the auth manager tells them, and their id."""
    found = {str(user.get_id()), str(user.get_name())}
    role = getattr(user, "role", None)
    roles = getattr(user, "roles", None) or ([role] if role else [])
    found.update(str(getattr(each, "name", each)) for each in roles)
    return frozenset(name.lower() for name in found)


def may_change_dag(user: GetUserDep, dag_id: str) -> bool:
    """Whether the user may start runs of a DAG."""
    from airflow.api_fastapi.auth.managers.models.resource_details import (
        DagAccessEntity,
        DagDetails,
    )

    return bool(
        get_auth_manager().is_authorized_dag(
            method="POST",
            access_entity=DagAccessEntity.RUN,
            details=DagDetails(id=dag_id),
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
