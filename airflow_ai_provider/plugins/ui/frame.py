"""The frame of every page: templates that escape what they show, headers, and the static files.

Pages lie side by side under one folder and link to each other by relative addresses, so that they
work behind any path prefix. Everything that a page loads comes from the same folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from airflow_ai_provider.core.errors import AirflowAiError
from airflow_ai_provider.core.lifecycle.page.gantt import STYLE as GANTT_STYLE
from airflow_ai_provider.plugins._guard import token_for_page
from airflow_ai_provider.plugins.ui import show

REFRESH = 10  # seconds
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
# nothing is fetched, run or framed by anybody but Airflow's own pages; no style or script in line
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Vary": "Cookie, Authorization",
}
PAGES = (
    ("board", "Board"),
    ("gpus", "GPU slots"),
    ("models", "Models"),
    ("feedback", "Feedback"),
    ("ledger", "Ledger"),
)


_TROUBLE = {
    401: "You are signed out",
    403: "Not for you to see",
    404: "Not there",
    503: "The store cannot be read",
}


@dataclass(frozen=True, kw_only=True)
class Static:
    """A file that pages load."""

    content: bytes
    media_type: str
    etag: str


def render(
    request: Request, template: str, *, page: str, title: str, status: int = 200, **values: Any
) -> Response:
    """Return ``template`` as a page; ``page`` is its entry in the navigation."""
    html = (
        _templates()
        .get_template(template)
        .render(
            page=page,
            title=title,
            pages=PAGES,
            refresh=REFRESH,
            version=_version(),
            csrf=token_for_page(request),
            **values,
        )
    )
    return HTMLResponse(html, status_code=status, headers=HEADERS)


def trouble(request: Request, error: HTTPException) -> Response:
    """Return what went wrong: as a page where a browser asked for one, else as JSON."""
    if "/ui/" not in request.url.path or "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
    return render(
        request,
        "error.html",
        page="",
        title=_TROUBLE.get(error.status_code, "Not possible"),
        status=error.status_code,
        message=str(error.detail),
    )


def unavailable(request: Request, error: AirflowAiError) -> Response:
    """Return why a route cannot answer, and what to do: the store cannot be read."""
    return trouble(request, HTTPException(503, str(error)))


def static(name: str, request: Request) -> Response:
    """Return a file that pages load; a browser that has it is told so."""
    found = _static().get(name)
    if found is None:
        raise HTTPException(404, "There is no such file.")
    headers = {
        "ETag": found.etag,
        "Cache-Control": "private, max-age=3600",
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("airflow_ai_provider.plugins.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(show.FILTERS)
    return made


@cache
def _static() -> dict[str, Static]:
    folder = files("airflow_ai_provider.plugins.ui") / "static"
    contents = {file.name: file.read_bytes() for file in folder.iterdir()}
    contents["ui.css"] += GANTT_STYLE.encode()
    return {
        name: Static(
            content=content,
            media_type=_TYPES[name.rpartition(".")[2]],
            etag=f'"{hashlib.sha256(content).hexdigest()[:16]}"',
        )
        for name, content in contents.items()
    }


def _version() -> str:
    return hashlib.sha256("".join(s.etag for s in _static().values()).encode()).hexdigest()[:12]
