"""Label Studio's export, API and webhooks, in the shapes that its documentation shows."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_ai_provider.adapters.label_studio import (
    LabelStudioExport,
    LabelStudioLogin,
    LabelStudioProject,
)
from airflow_ai_provider.core.errors import FeedbackSourceError, FeedbackSourceLostError
from airflow_ai_provider.core.feedback.label_studio import of_event, of_task
from airflow_ai_provider.core.feedback.parse import parse
from airflow_ai_provider.core.feedback.source import SourceRecord

MOMENT = "2021-03-09T22:16:08.728378Z"


def control(kind: str, key: str, value: Any, name: str = "tag") -> dict[str, Any]:
    return {
        "id": "Dx_aB91ISN", "from_name": name, "to_name": "img", "type": kind, "value": {key: value}
    }  # fmt: skip


def task(number: int = 1, *result: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A task as https://labelstud.io/guide/task_format shows it."""
    annotation = {
        "id": 1000 + number,
        "result": list(result) or [control("choices", "choices", ["late"])],
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2021-03-09T22:16:08.728353Z",
        "updated_at": MOMENT,
        "lead_time": 4.288,
        "result_count": 0,
        "task": number,
        "completed_by": 10,
        **changes,
    }
    return {
        "id": number,
        "created_at": "2021-03-09T21:52:49.513742Z",
        "updated_at": "2021-03-09T22:16:08.746926Z",
        "project": 83,
        "data": {"image": "1.jpg", "model_name": "m", "prediction_id": f"p{number}"},
        "annotations": [annotation],
        "predictions": [],
    }


def only(found: Iterator[SourceRecord]) -> SourceRecord:
    (one,) = list(found)
    return one


def test_an_annotation_is_a_record() -> None:
    result = (
        control("rating", "rating", 4),
        control("textarea", "text", ["good", "but slow"]),
        control("number", "number", 0.5),
        control("choices", "choices", ["late"]),
        control("rectanglelabels", "rectanglelabels", ["Moonwalker"], "box"),
    )
    record = parse(only(of_task(task(1, *result))).document)
    assert record.feedback_id == "label-studio/83/1001"
    assert (record.model_name, record.prediction_id) == ("m", "p1")
    assert (record.score, record.value, record.label) == (4, 0.5, "late")
    assert record.comment == "good\nbut slow"
    assert record.observed_at.isoformat() == MOMENT.replace("Z", "+00:00")
    assert dict(record.attributes) == {"task": 1, "person": "10", "box": "Moonwalker"}


def test_a_control_may_mean_another_field() -> None:
    result = control("choices", "choices", ["5"], "stars")
    document = only(of_task(task(1, result), {"stars": "comment"})).document
    assert document["comment"] == "5"
    assert "label" not in document


def event(action: str = "ANNOTATION_UPDATED", **changes: Any) -> dict[str, Any]:
    """A payload as https://labelstud.io/guide/webhook_reference shows it."""
    whole = task()
    annotation = whole.pop("annotations")[0]
    project = {"id": 83, "title": "Delays", "task_number": 1}
    return {
        "action": action, "annotation": annotation, "task": whole, "project": project, **changes
    }  # fmt: skip


def test_every_way_tells_the_same_record() -> None:
    spelled_out = task(completed_by={"id": 10, "email": "a@x.org"})
    found = [of_task(task()), of_task(spelled_out), of_event(event())]
    hashes = {parse(only(one).document).content_hash for one in found}
    assert len(hashes) == 1


@pytest.mark.parametrize("action", ["PROJECT_CREATED", "TASKS_CREATED", "ANNOTATIONS_DELETED"])
def test_other_events_bring_nothing(action: str) -> None:
    assert list(of_event(event(action))) == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (None, "no event"),
        ({"action": 1}, "no event"),
        ({"action": "ANNOTATION_CREATED"}, "it has no task"),
        (event(annotation={"result": []}), "no annotation with an id"),
        (event(annotation={**task()["annotations"][0], "was_cancelled": True}), "skipped"),
    ],
)
def test_an_event_that_says_nothing_is_refused(given: Any, problem: str) -> None:
    assert problem in str(only(of_event(given)).problem)


@pytest.mark.parametrize("given", [None, {}, {"annotations": 1}, {"annotations": [None]}])
def test_a_task_that_says_nothing_is_refused(given: Any) -> None:
    assert only(of_task(given)).problem


def test_an_export_is_read_whole_or_not(tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    text = json.dumps([task(1), task(2)])
    file.write_text(text)
    source = LabelStudioExport(file)
    found = list(source.read(None))
    assert [record.place for record in found] == [
        "1: task 1, annotation 1001",
        "2: task 2, annotation 1002",
    ]
    assert source.position()
    for broken in (text[:-5], "{}"):
        file.write_text(broken)
        with pytest.raises(FeedbackSourceError, match="no whole export"):
            list(LabelStudioExport(file).read(None))


class Server(BaseHTTPRequestHandler):
    """The routes of Label Studio that are asked, over a list of tasks."""

    tasks: list[dict[str, Any]] = []
    total = 0
    status = 200
    seen: list[str] = []

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self.seen.append(f"{self.headers['Authorization']} {query['page'][0]}")
        size = int(query["page_size"][0])
        start = (int(query["page"][0]) - 1) * size
        self.answer({"tasks": self.tasks[start : start + size], "total": self.total})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer({"access": f"access-of-{asked['refresh']}"})

    def answer(self, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(tasks: list[dict[str, Any]], *, total: int | None = None, status: int = 200) -> Any:
    found = {"tasks": tasks, "total": total or len(tasks), "status": status, "seen": []}
    handler = type("Handler", (Server,), found)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler.seen  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


def project(url: str, token: str = "secret") -> LabelStudioProject:
    return LabelStudioProject(LabelStudioLogin(url=url, token=token), 83)


def test_a_project_is_read_page_by_page() -> None:
    tasks = [task(number) for number in range(250)]
    with serving(tasks) as (url, seen):
        found = list(project(url).read(None))
    assert len(found) == 250
    assert seen == [f"Token secret {page}" for page in (1, 2, 3)]


def test_a_personal_access_token_is_exchanged() -> None:
    with serving([task()]) as (url, seen):
        list(project(url, "a.b.c").read(None))
    assert seen == ["Bearer access-of-a.b.c 1"]


def test_a_project_that_shrinks_while_it_is_read_is_named() -> None:
    with (
        serving([task()], total=3) as (url, _),
        pytest.raises(FeedbackSourceLostError, match="it says 3 tasks and gave 1: it shrank"),
    ):
        list(project(url).read(None))


@pytest.mark.parametrize(
    ("status", "kind"), [(401, FeedbackSourceError), (503, FeedbackSourceLostError)]
)
def test_a_server_that_refuses_is_named(status: int, kind: type[Exception]) -> None:
    with serving([], status=status) as (url, _), pytest.raises(kind, match=str(status)) as caught:
        list(project(url).read(None))
    assert type(caught.value) is kind
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(FeedbackSourceLostError, match="does not answer"):
        list(project("http://127.0.0.1:9").read(None))
    with pytest.raises(FeedbackSourceError, match="http://"):
        list(project("file:///etc").read(None))


def test_a_task_is_not_changed_by_reading_it() -> None:
    whole = task()
    before = copy.deepcopy(whole)
    list(of_task(whole))
    assert whole == before
