"""Feedback over HTTP: one record or many, answered one by one; and Label Studio's webhooks.

Who may create asset events may send feedback, since feedback becomes the event
``ai-feedback://MODEL``. A body must say that it is JSON.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from airflow.api_fastapi.core_api.security import requires_access_asset
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from airflow_ai_provider.adapters.feedback_lines import read_line
from airflow_ai_provider.core.feedback.json_schema import record_schema
from airflow_ai_provider.core.feedback.label_studio import of_event
from airflow_ai_provider.core.feedback.source import SourceRecord
from airflow_ai_provider.hooks.feedback import FeedbackHook
from airflow_ai_provider.hooks.store import AiStoreHook
from airflow_ai_provider.plugins._body import body_of, kind_of
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.services.feedback_inbox import Answer, Outcome, Parcel, take_parcels
from airflow_ai_provider.services.store import open_store
from airflow_ai_provider.services.together import Together

MAX_RECORDS = 10_000
_JSON, _LINES = "application/json", "application/x-ndjson"
_PLURAL = {Outcome.DUPLICATE: "duplicates"}
_LOOK_AGAIN = 30.0  # seconds after which the connection of the store is looked up anew


def add_feedback_routes(app: FastAPI) -> None:
    """Add the routes to an application that guards them."""
    may_send = [Depends(requires_access_asset(method="POST"))]
    together = Together(_Inbox().answer)

    @app.post("/feedback", dependencies=may_send)
    async def post_feedback(request: Request) -> JSONResponse:
        """Take in a record, an array of records, or JSON Lines."""
        kind = kind_of(request, _JSON, _LINES)
        body = await body_of(request)
        return await together.ask(_Sent("http", _records, body, kind))

    @app.post("/feedback/label-studio", dependencies=may_send)
    async def post_label_studio(request: Request) -> JSONResponse:
        """Take in the annotation of a webhook's event; other events are answered and ignored."""
        kind = kind_of(request, _JSON)
        body = await body_of(request)
        return await together.ask(_Sent("label-studio", _event, body, kind))

    app.get("/feedback/schema")(record_schema)


class _Sent(NamedTuple):
    """The body of a request, and what reads it."""

    source: str
    read: Callable[[bytes, str], list[SourceRecord]]
    body: bytes
    kind: str

    def parcel(self) -> Parcel:
        records = self.read(self.body, self.kind)
        if len(records) > MAX_RECORDS:
            raise HTTPException(413, f"A body may have {MAX_RECORDS} records: send them in parts.")
        return Parcel(self.source, records)


class _Inbox:
    """Takes into the store that the connection names, kept from request to request."""

    def __init__(self) -> None:
        self._service: FeedbackService | None = None
        self._url = ""
        self._until = 0.0

    def answer(self, sent: Sequence[_Sent]) -> list[JSONResponse | BaseException]:
        """Take in what was sent at the same time as one batch; return the answer to each."""
        found = [_parcel(one) for one in sent]
        parcels = [parcel for parcel in found if isinstance(parcel, Parcel)]
        if parcels:
            take_parcels(self._get(), parcels)
        return [_answer(one) if isinstance(one, Parcel) else one for one in found]

    def _get(self) -> FeedbackService:
        now = time.monotonic()
        if self._service is None or now >= self._until:
            url = AiStoreHook().get_url()
            if self._service is None or url != self._url:
                self._service = FeedbackService(open_store(url), FeedbackHook.settings())
                self._url = url
            self._until = now + _LOOK_AGAIN
        return self._service


def _parcel(sent: _Sent) -> Parcel | Exception:
    try:
        return sent.parcel()
    except Exception as error:  # noqa: BLE001 - raised for its sender, not for those beside it
        return error


def _answer(parcel: Parcel) -> JSONResponse:
    counts = _counts(parcel.answers)
    return JSONResponse({**counts, "batch": parcel.batch, "records": _told(parcel.answers)})


def _records(body: bytes, kind: str) -> list[SourceRecord]:
    if kind == _LINES:
        lines = enumerate(body.split(b"\n"), 1)
        return [read_line(f"line {n}", line.strip()) for n, line in lines if line.strip()]
    document = _json(body)
    documents = document if isinstance(document, list) else [document]
    return [SourceRecord(f"record {n}", found, found) for n, found in enumerate(documents, 1)]


def _event(body: bytes, _kind: str) -> list[SourceRecord]:
    return list(of_event(_json(body)))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"The body is no JSON: {error}.") from error


def _counts(answers: list[Answer]) -> dict[str, int]:
    found = Counter(answer.outcome for answer in answers)
    each = {_PLURAL.get(outcome, outcome.value): found[outcome] for outcome in Outcome}
    return {"read": len(answers), **each}


def _told(answers: list[Answer]) -> list[dict[str, Any]]:
    return [answer.to_dict() for answer in answers]
