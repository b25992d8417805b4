"""The GPU-slot pool over HTTP: its status as JSON, and a page about one ticket and its lease."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from html import escape
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse

from airflow_ai_provider.core.gpu.planner import sentence
from airflow_ai_provider.plugins._guard import Seen
from airflow_ai_provider.plugins._store import the_store
from airflow_ai_provider.store.gpu_lookup import LeaseView, TicketStory, look_up
from airflow_ai_provider.store.gpu_status import snapshot

REFRESH = 5  # seconds
_OVER = {"done", "withdrawn", "refused"}
_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem;max-width:60rem}"
    "th{text-align:left;padding:.2rem 1.5rem .2rem 0;font-weight:600;vertical-align:top}"
    "td{padding:.2rem 0}h1{font-size:1.2rem}h2{font-size:1rem;margin-top:1.5rem}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}}"
)
# nothing of the page is fetched, run or framed by anybody but Airflow's own pages
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def add_gpu_routes(app: FastAPI) -> None:
    """Add the routes to an application that guards them."""
    app.get("/gpu")(status)
    app.get("/gpu/lease/{lease_id}", response_class=HTMLResponse)(lease_page)


def status(sight: Seen) -> dict[str, Any]:
    """Return devices and queue in the shape of ``airflow-ai gpu status --json``."""
    return snapshot(the_store(), hidden=sight.projects)


def lease_page(sight: Seen, lease_id: str) -> HTMLResponse:
    """Return the page about a ticket, by its id or that of its lease."""
    story = look_up(the_store(), lease_id)
    if story is None or not sight.shows_project(story.spec.get("project")):
        raise HTTPException(404, "The store knows no ticket and no lease of this id.")
    return HTMLResponse(render(story), headers=_HEADERS)


def render(story: TicketStory) -> str:
    """Return the page as HTML; it loads itself anew while something can still change."""
    live = story.state not in _OVER or (story.lease and story.lease.until is None)
    refresh = f'<meta http-equiv="refresh" content="{REFRESH}">' if live else ""
    body = [f"<h1>GPU lease of {escape(story.holder)}</h1>", _table(_request_rows(story))]
    if story.lease:
        body += [f"<h2>Lease {escape(story.lease.id)}</h2>", _table(_lease_rows(story.lease))]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{refresh}'
        f"<title>GPU lease</title><style>{_STYLE}</style></head><body>{''.join(body)}</body></html>"
    )


def _request_rows(story: TicketStory) -> Iterator[tuple[str, Any]]:
    yield "Asked for", ", ".join(f"{key} {value}" for key, value in story.spec.items())
    yield "Priority", story.priority
    yield "In the queue since", _moment(story.enqueued_at)
    yield "State", story.state
    if story.ahead is not None:
        yield "Before it", f"{story.ahead} waiting requests of the pool"
        yield "Waits because", sentence(story.reason)
    elif story.reason:
        yield "Reason", sentence(story.reason)
    if story.finished_at:
        yield "Ended", _moment(story.finished_at)


def _lease_rows(lease: LeaseView) -> Iterator[tuple[str, Any]]:
    yield "Devices", ", ".join(lease.devices)
    yield "Host", lease.host
    yield "State", lease.state
    yield "Fence", lease.fence
    yield "Since", _moment(lease.since)
    if lease.expires_at:
        yield "Is renewed before", _moment(lease.expires_at)
    if lease.until:
        yield "Until", _moment(lease.until)
    if lease.reason:
        yield "Reason", sentence(lease.reason)


def _table(rows: Iterator[tuple[str, Any]]) -> str:
    cells = (f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in rows)
    return f"<table>{''.join(cells)}</table>"


def _moment(value: datetime) -> str:
    return value.isoformat(sep=" ", timespec="seconds")
