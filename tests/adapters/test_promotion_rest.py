"""The registry over HTTP, against a server that answers what a test tells it to."""

from __future__ import annotations

import base64
import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_ai_provider.adapters.mlflow import (
    RegistrySettings,
    logged_model_id,
    open_registry,
    split_run_uri,
    without_secrets,
)
from airflow_ai_provider.core.errors import (
    RegistryDeniedError,
    RegistryError,
    RegistryNotFoundError,
    RegistryUnavailableError,
)

VERSION = {"name": "m", "version": "3", "run_id": "r", "source": "s", "status": "READY"}


class Server(ThreadingHTTPServer):
    """Answers the next of ``answers``, the last one for ever; keeps what was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked, self.headers = [], [], []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def says(self, *answers):
        self.answers = list(answers)

    def handle_error(self, request, client_address):
        """Say nothing: a client that gave up is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        said = json.loads(body) if body else {k: v[0] for k, v in parse_qs(parts.query).items()}
        path = parts.path.removeprefix("/api/2.0/mlflow/")
        self.server.asked.append((self.command, path, said))
        self.server.headers.append(dict(self.headers))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        status, document = answer if isinstance(answer, tuple) else (200, answer)
        if callable(document):
            document = document()
        text = document if isinstance(document, str) else json.dumps(document)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def log_message(self, *_args):
        pass


@pytest.fixture
def server():
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def registry(server, **settings):
    return open_registry(RegistrySettings(tracking_uri=server.url, **settings))


def error(status, code="INTERNAL_ERROR", message="so"):
    return (status, {"error_code": code, "message": message})


def test_aliases(server):
    server.says({"registered_model": {"aliases": [{"alias": "dev", "version": 3}]}})
    assert registry(server).aliases("my model") == {"dev": "3"}
    assert server.asked == [("GET", "registered-models/get", {"name": "my model"})]


def test_a_version(server):
    server.says({"model_version": {**VERSION, "tags": [{"key": "a", "value": "b"}]}})
    found = registry(server).get_version("m", "3")
    assert (found.version, found.run_id, found.is_ready, found.tags) == ("3", "r", True, {"a": "b"})


def test_all_pages_are_read(server):
    server.says(
        {"model_versions": [{**VERSION, "version": "10"}], "next_page_token": "next"},
        {"model_versions": [{**VERSION, "version": "9"}]},
    )
    found = registry(server).find_versions("m", run_id="r")
    assert [v.version for v in found] == ["9", "10"]
    assert server.asked[0][2]["filter"] == "name = 'm' and run_id = 'r'"
    assert server.asked[1][2]["page_token"] == "next"


def test_a_model_that_is_there_is_made(server):
    server.says(error(400, "RESOURCE_ALREADY_EXISTS"))
    registry(server).create_model("m")
    server.says(error(400, "INVALID_PARAMETER_VALUE", "no name"))
    with pytest.raises(RegistryError, match=r"refused \(INVALID_PARAMETER_VALUE\): no name"):
        registry(server).create_model("")


def test_a_version_of_a_logged_model(server):
    server.says({"model_version": VERSION})
    registry(server).create_version("m", model_uri="models:/m-1", run_id="r", tags={"a": "b"})
    assert server.asked == [
        (
            "POST",
            "model-versions/create",
            {
                "name": "m",
                "source": "models:/m-1",
                "run_id": "r",
                "model_id": "m-1",
                "tags": [{"key": "a", "value": "b"}],
            },
        )
    ]


@pytest.mark.parametrize(
    ("logged", "source"),
    [([{"info": {"model_id": "m-7"}}], "models:/m-7"), ([], "file:///art/model")],
)
def test_a_version_of_a_run(server, logged, source):
    server.says(
        {"run": {"info": {"experiment_id": "1", "artifact_uri": "file:///art"}}},
        {"models": logged},
        {"model_version": VERSION},
    )
    registry(server).create_version("m", model_uri="runs:/r/model", run_id="r", tags={})
    assert server.asked[-1][2]["source"] == source


def test_secrets_go_into_the_header_and_nowhere_else(server):
    server.says({})
    pair = base64.b64encode(b"ml:s3cret").decode()
    address = server.url.replace("http://", "http://ml:s3cret@")
    for settings in (
        RegistrySettings(tracking_uri=server.url, username="ml", password="s3cret"),
        RegistrySettings(tracking_uri=address),
    ):
        made = open_registry(settings)
        made.set_alias("m", "dev", "1")
        assert server.headers[-1]["Authorization"] == f"Basic {pair}"
        assert "s3cret" not in made.address + settings.address
    assert "s3cret" not in repr(RegistrySettings(tracking_uri="http://h", password="s3cret"))
    registry(server, token="t0ken").set_alias("m", "dev", "1")
    assert server.headers[-1]["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    ("status", "message", "permission"),
    [
        (401, "does not let this user in", None),
        (403, "the permission READ on the model m", "READ"),
    ],
)
def test_who_may_not_come_in_is_told_so(server, status, message, permission):
    server.says((status, "Not you."))
    with pytest.raises(RegistryDeniedError, match=message) as caught:
        registry(server).aliases("m")
    assert caught.value.facts["status"] == status
    assert caught.value.facts.get("permission") == permission
    assert len(server.asked) == 1


def test_what_is_not_there(server):
    server.says(error(404, "RESOURCE_DOES_NOT_EXIST", "Registered Model with name=m not found"))
    with pytest.raises(RegistryNotFoundError, match="name=m not found"):
        registry(server).aliases("m")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(server, status):
    server.says(error(status), {"registered_model": {}})
    assert registry(server).aliases("m") == {}
    server.says(error(status))
    server.asked.clear()
    with pytest.raises(RegistryUnavailableError, match=f"answers {status}"):
        registry(server).aliases("m")
    assert len(server.asked) == 3


def test_making_a_version_is_not_repeated(server):
    server.says(error(500))
    with pytest.raises(RegistryUnavailableError):
        registry(server).create_version("m", model_uri="s3://x", run_id="r", tags={})
    assert len(server.asked) == 1


@pytest.mark.parametrize("answer", ["<html>not MLflow</html>", "[1]", "", "{}"])
def test_a_server_that_is_no_mlflow(server, answer):
    server.says((200, answer))
    with pytest.raises(RegistryError, match="not as MLflow does"):
        registry(server).aliases("m")


def test_a_server_that_is_no_mlflow_and_refuses(server):
    server.says((404, "<html>nothing here</html>"))
    with pytest.raises(RegistryError, match="nothing here"):
        registry(server).aliases("m")


def test_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    begun = time.monotonic()
    with pytest.raises(RegistryUnavailableError, match=r"does not answer: .*refused"):
        open_registry(RegistrySettings(tracking_uri=url)).aliases("m")
    assert time.monotonic() - begun < 5


def test_a_server_that_never_answers_is_given_up_in_time(server):
    release = threading.Event()
    server.says((200, release.wait))
    begun = time.monotonic()
    with pytest.raises(RegistryUnavailableError, match="timed out"):
        registry(server, timeout=1.0).aliases("m")
    assert time.monotonic() - begun < 2.5
    release.set()


def test_a_host_that_does_not_exist():
    made = open_registry(RegistrySettings(tracking_uri="http://no-such-host.invalid"))
    with pytest.raises(RegistryUnavailableError, match="does not answer"):
        made.aliases("m")


def test_without_mlflow_a_database_cannot_be_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    made = open_registry(RegistrySettings(tracking_uri="sqlite:///nowhere.db"))
    with pytest.raises(RegistryError, match="MLflow is not installed"):
        made.aliases("m")


def test_addresses():
    assert logged_model_id("models:/m-1a") == "m-1a"
    assert logged_model_id("models:/flights/3") is None
    assert logged_model_id("models:/m-1/3") is None
    assert split_run_uri("runs:/r/a/b") == ("r", "a/b")
    for wrong in ("runs:/r", "s3://b/k", "runs:/"):
        with pytest.raises(RegistryError, match="no address of a logged model"):
            split_run_uri(wrong)
    assert without_secrets("postgresql://u:p@h/d") == "postgresql://h/d"
    assert without_secrets("sqlite:////a@b.db") == "sqlite:////a@b.db"
