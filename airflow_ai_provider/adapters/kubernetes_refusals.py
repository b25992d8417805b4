"""What an API server refuses, as an error of ours: which right lacks, and where it is granted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from airflow_ai_provider.core.errors import (
    ClusterError,
    ClusterForbiddenError,
    ClusterGoneError,
    ClusterQuotaError,
    ClusterUnavailableError,
    in_one_line,
)

_MANIFESTS = "docker/kubernetes/"
_FORBIDDEN = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_PASSING = {408, 409, 429, 500, 502, 503, 504}


def refuse(error: Any) -> NoReturn:
    """Raise our error for an ``ApiException`` of either Kubernetes client.

    :raises ClusterError: or a kind of it.
    """
    try:
        body = json.loads(error.body or "{}")
    except (TypeError, ValueError):
        body = {}
    refuse_status(int(error.status or 0), body if isinstance(body, dict) else {}, cause=error)


def refuse_status(
    status: int, body: Mapping[str, Any], *, cause: Exception | None = None
) -> NoReturn:
    """Raise our error for an answer of the API server that is no success.

    :raises ClusterError: or a kind of it.
    """
    said = in_one_line(body.get("message") or body.get("reason") or f"status {status}")
    if status == 401:
        raise ClusterForbiddenError(
            "The API server does not know the token (401).",
            remedy="Check the Kubernetes connection, or whether its token has run out.",
            status=status,
        ) from cause
    if status == 403 and "exceeded quota" in said:
        raise ClusterQuotaError(f"The namespace's quota leaves no room: {said}.") from cause
    if status == 403 and "is being terminated" in said:
        raise ClusterGoneError(
            f"The namespace is being deleted: {said}.",
            remedy="Make it again, or name another namespace.",
            status=status,
        ) from cause
    if status == 403:
        raise _forbidden(said) from cause
    if status in {404, 410}:
        raise ClusterGoneError(
            f"The API server has no such thing: {said}.", status=status
        ) from cause
    if status == 409 and "Precondition failed" in said:
        raise ClusterError(f"It is another one by now: {said}.", status=412) from cause
    if status in _PASSING or not status:
        raise ClusterUnavailableError(
            f"The API server does not do it now: {said}.",
            remedy="Try again; when it lasts, look at the control plane.",
            status=status,
        ) from cause
    raise ClusterError(
        f"The API server refuses: {said}.", remedy="Correct what was asked.", status=status
    ) from cause


def _forbidden(said: str) -> ClusterForbiddenError:
    found = _FORBIDDEN.search(said)
    facts = found.groupdict() if found else {}
    if not found:
        return ClusterForbiddenError(
            f"The API server forbids it: {said}.", remedy="Ask who runs the cluster.", **facts
        )
    scope = "Role" if facts["namespace"] else "ClusterRole"
    manifest = _MANIFESTS + ("distributed.yaml" if facts["group"] == "batch" else "rbac.yaml")
    return ClusterForbiddenError(
        f"The token may not {facts['verb']} {facts['resource']}: {said}.",
        remedy=f"Grant it: in {manifest} the {scope} has the rule with "
        f'resources: ["{facts["resource"]}"] and the verb "{facts["verb"]}".',
        **facts,
    )


def refused_stream(error: BaseException) -> ClusterForbiddenError | None:
    """Return our error for a stream (exec) that the token may not open; None for another trouble.

    The client hides the answer: its own error for it fails while it is made.
    """
    cause: BaseException | None = error
    while cause is not None:
        said = str(getattr(cause, "reason", None) or "")
        if "Handshake status 403" in said:
            return _forbidden(in_one_line(_message_in(said)))
        cause = cause.__cause__ or cause.__context__
    return None


def _message_in(said: str) -> str:
    """Return the API server's own sentence out of what the client says of a handshake."""
    try:
        return str(json.loads(said.rpartition("-+-+- ")[2])["message"])
    except (ValueError, KeyError, TypeError):
        return said


def away(error: BaseException) -> ClusterUnavailableError:
    """Return our error for a connection that failed."""
    return ClusterUnavailableError(
        f"The API server does not answer: {in_one_line(error)}.",
        remedy="Check its address in the Kubernetes connection, and the network.",
        status=0,
    )
