"""The data gates over HTTP: the page about a decision, the list of data sets and their past."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import HTMLResponse

from airflow_ai_provider.core.errors import LedgerError
from airflow_ai_provider.core.gate import GateRecord
from airflow_ai_provider.core.lifecycle.visible import Sight
from airflow_ai_provider.core.quality.page.build import record_page
from airflow_ai_provider.core.quality.page.history import Decision, data_set_of, decision_of
from airflow_ai_provider.core.quality.page.render import (
    POLICY,
    Decided,
    history_html,
    overview_html,
    report_html,
    waiting_html,
)
from airflow_ai_provider.core.quality.page.values import from_kept
from airflow_ai_provider.plugins._guard import Seen
from airflow_ai_provider.plugins._store import the_store
from airflow_ai_provider.store.gate_reports import GateReports
from airflow_ai_provider.store.ledger import Ledger

NO_RECORD = "The ledger has no such record."
REFRESH = 5  # seconds
_EARLIER = 30
_LISTED = 300  # decisions that a list reads; each brings its criteria
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

Name = Annotated[str, Query(max_length=500)]


def add_quality_routes(app: FastAPI) -> None:
    """Add the routes to an application that guards them."""
    app.get("/quality/list", response_class=HTMLResponse)(overview)
    app.get("/quality/dataset", response_class=HTMLResponse)(history)
    app.get("/quality/task", response_class=HTMLResponse)(of_task)
    app.get("/quality/record/{record_id}", response_class=HTMLResponse)(of_record)


def overview(sight: Seen) -> HTMLResponse:
    """Return the list of data sets, each with its newest decision."""
    return _page(overview_html(_decisions(GateReports(the_store()), None, sight, limit=_LISTED)))


def history(sight: Seen, name: Name) -> HTMLResponse:
    """Return the decisions on one data set."""
    return _page(
        history_html(name, _decisions(GateReports(the_store()), name, sight, limit=_LISTED))
    )


def of_task(
    sight: Seen, dag_id: Name, run_id: Name, task_id: Name, map_index: int = -1
) -> HTMLResponse:
    """Return the page about what a task decided in a run; until then one that waits for it."""
    reports = GateReports(the_store())
    record = reports.newest_of_task(dag_id, run_id, task_id, map_index)
    if record is None or not sight.shows_subject(record.subject):
        return _page(waiting_html(f"{dag_id}.{task_id}", refresh=REFRESH))
    return _page(_report(reports, record, sight, home="."))


def of_record(sight: Seen, record_id: str) -> HTMLResponse:
    """Return the page about one gate record."""
    reports = GateReports(the_store())
    try:
        record = Ledger(reports.store).get(record_id)
    except LedgerError as error:
        raise HTTPException(404, NO_RECORD) from error
    if not sight.shows_subject(record.subject):
        raise HTTPException(404, NO_RECORD)
    return _page(_report(reports, record, sight, home=".."))


def _report(reports: GateReports, record: GateRecord, sight: Sight, *, home: str) -> str:
    kept = reports.find(record.id)
    record = replace(
        record, criteria=sight.cut(record.criteria), evidence=sight.cut(record.evidence)
    )
    page = (from_kept(kept) if kept else None) or record_page(record)
    task = f" in {record.dag_id}.{record.task_id}, run {record.run_id}" if record.dag_id else ""
    decided = Decided(
        record=record.id, at=record.created_at, by=f"{record.decided_by}{task}", home=home
    )
    earlier = _decisions(reports, data_set_of(record.subject), sight, limit=_EARLIER)
    return report_html(page, decided=decided, earlier=earlier)


def _decisions(
    reports: GateReports, name: str | None, sight: Sight, *, limit: int
) -> list[Decision]:
    found = reports.decisions(name, limit=limit)
    return [decision_of(record) for record in found if sight.shows_subject(record.subject)]


def _page(html: str) -> HTMLResponse:
    return HTMLResponse(html, headers=_HEADERS)
