"""A real Label Studio, in an environment of its own: export, API and webhook tell the same records.

``AIRFLOW_AI_LABEL_STUDIO`` names one that runs already (``http://:ACCESS-TOKEN@host:port``), which
may send webhooks to this machine; otherwise the package is installed and started, for minutes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookiejar import CookieJar
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from airflow_ai_provider.adapters.label_studio import (
    LabelStudioExport,
    LabelStudioLogin,
    LabelStudioProject,
)
from airflow_ai_provider.core.feedback.label_studio import of_event
from airflow_ai_provider.core.feedback.source import Position, SourceRecord
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.store.engine import MEMORY_URL, Store

pytestmark = [pytest.mark.faults, pytest.mark.label_studio, pytest.mark.timeout(1800)]

USER, PASSWORD = "a@x.org", "secret-of-a-test"
PAGE = """
<View>
  <Text name="text" value="$text"/>
  <Choices name="delay" toName="text"><Choice value="late"/><Choice value="on time"/></Choices>
  <Rating name="quality" toName="text"/>
  <TextArea name="why" toName="text"/>
</View>
"""


@dataclass(frozen=True)
class Studio:
    """A running Label Studio, and a person's access token."""

    url: str
    token: str

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API as its documentation says."""
        access = _send(f"{self.url}/api/token/refresh", {"refresh": self.token})["access"]
        headers = {"Authorization": f"Bearer {access}"}
        return _send(f"{self.url}/api/{path}", body, method=method, headers=headers)


def _send(url: str, body: Any = None, *, method: str = "POST", headers: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    asked = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data=data, headers=asked, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    named = os.environ.get("AIRFLOW_AI_LABEL_STUDIO")
    if named:
        parts = urlsplit(named)
        yield Studio(f"{parts.scheme}://{parts.hostname}:{parts.port}", str(parts.password))
        return
    folder = tmp_path_factory.mktemp("label-studio")
    program = installed(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [
        *(program, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)),
        *("--data-dir", str(folder), "--username", USER, "--password", PASSWORD),
    ]
    environment = {**os.environ, "SECRET_KEY": "x", "COLLECT_ANALYTICS": "false"}
    environment["SSRF_PROTECTION_ENABLED"] = "false"  # its webhooks come to this machine
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for(url, process)
        yield Studio(url, token_of(url, USER, PASSWORD))
    finally:
        process.terminate()
        process.wait(60)


def installed(folder: Path) -> str:
    """Return the program, installed in an environment of its own; skip where it cannot be."""
    place = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    pip = [str(place / "bin" / "pip"), "install", "-q", "label-studio"]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"label-studio does not install here: {done.stderr[-300:]}")
    return str(place / "bin" / "label-studio")


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended by itself"
        try:
            _send(f"{url}/health", method="GET")
        except OSError:
            time.sleep(1)
        else:
            return
    raise AssertionError("it does not answer")


def token_of(url: str, user: str, password: str) -> str:
    """Return a personal access token, made as a person makes one in the browser."""
    jar = CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def secret() -> str:
        return next(str(cookie.value) for cookie in jar if cookie.name == "csrftoken")

    browser.open(f"{url}/user/login/", timeout=60).read()
    form = {"csrfmiddlewaretoken": secret(), "email": user, "password": password}
    login = urllib.request.Request(
        f"{url}/user/login/", data=urlencode(form).encode(), headers={"Referer": url}
    )
    browser.open(login, timeout=60).read()
    asked = {"X-CSRFToken": secret(), "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/token/", data=b"{}", headers=asked)
    return str(json.load(browser.open(request, timeout=60))["token"])


class Hook(BaseHTTPRequestHandler):
    """Where Label Studio sends its events."""

    events: list[Any] = []

    def do_POST(self) -> None:
        self.events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def events() -> Iterator[tuple[str, list[Any]]]:
    Hook.events = []
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", Hook.events
        server.shutdown()


class Sent:
    """Events as a source."""

    name = "events"

    def __init__(self, events: list[Any]) -> None:
        self._events = events

    def read(self, position: Position | None) -> Iterator[SourceRecord]:
        del position
        for event in self._events:
            yield from of_event(event)

    def position(self) -> None:
        return None


def say(kind: str, control: str, **value: Any) -> dict[str, Any]:
    return {"type": kind, "from_name": control, "to_name": "text", "value": value}


def test_every_way_tells_the_same_records(
    studio: Studio, events: tuple[str, list[Any]], tmp_path: Path
) -> None:
    address, sent = events
    project = studio.ask("POST", "projects", {"title": "delays", "label_config": PAGE})["id"]
    studio.ask("POST", "webhooks/", {"url": address, "project": project, "send_payload": True})
    data = [{"text": f"t{n}", "model_name": "m", "prediction_id": f"p{n}"} for n in range(120)]
    studio.ask("POST", f"projects/{project}/import", data)
    tasks = studio.ask("GET", f"tasks?project={project}&page_size=120")["tasks"]
    for task in tasks[::20]:
        result = [
            say("choices", "delay", choices=["late"]),
            say("rating", "quality", rating=4),
            say("textarea", "why", text=["slow"]),
        ]
        studio.ask("POST", f"tasks/{task['id']}/annotations/", {"result": result})
    service = FeedbackService(Store.open(MEMORY_URL))

    source = LabelStudioProject(LabelStudioLogin(url=studio.url, token=studio.token), project)
    found = service.ingest_from([source])
    assert (found.read, found.stored) == (6, 6)
    assert service.status()["models"] == {"m": 6}

    file = tmp_path / "export.json"
    exported = studio.ask("GET", f"projects/{project}/export?exportType=JSON")
    file.write_text(json.dumps(exported))
    again = service.ingest_from([LabelStudioExport(file)])
    assert (again.read, again.duplicates) == (6, 6)

    deadline = time.monotonic() + 60
    while len([e for e in sent if e["action"] == "ANNOTATION_CREATED"]) < 6:
        assert time.monotonic() < deadline, [e["action"] for e in sent]
        time.sleep(0.2)
    told = service.ingest_from([Sent(sent)])
    assert (told.read, told.duplicates) == (6, 6)
