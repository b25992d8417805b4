"""What a server of the tests takes for a user: a password, or a token that expires.

MLflow lets whoever runs a server name such a function; this one runs inside the server.
"""

from __future__ import annotations

import time
from typing import Any


def token_of(user: str, seconds: float) -> str:
    """Return a token that lets ``user`` in for so many seconds."""
    return f"{user}|{time.time() + seconds}"


def authenticate() -> Any:
    """Return who asks, or the answer that sends them away."""
    from flask import Response, request
    from mlflow.server.auth import authenticate_request_basic_auth
    from werkzeug.datastructures import Authorization

    said = request.authorization
    if said is None or said.type != "bearer":
        return authenticate_request_basic_auth()
    user, _, until = str(said.token).partition("|")
    try:
        expired = time.time() > float(until)
    except ValueError:
        return Response("This is no token.", 401)
    if expired:
        return Response("The token has expired.", 401)
    return Authorization("basic", {"username": user, "password": ""})
