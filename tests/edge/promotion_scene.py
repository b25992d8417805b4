"""What the tests of the promotion operators share: a task's context, a registry over HTTP."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

from airflow_ai_provider.core.errors import RegistryNotFoundError


class TaskInstance(SimpleNamespace):
    """What an operator asks of Airflow's task instance."""

    def xcom_push(self, key, value):
        self.pushed[key] = json.loads(json.dumps(value))

    def xcom_pull(self, key, **_where):
        return self.pushed.get(key)


def context_of(operator, *, user="ml", map_index=-1, try_number=1, pushed=None):
    ti = TaskInstance(
        id="ti",
        dag_id="d",
        run_id="r",
        task_id=operator.task_id,
        map_index=map_index,
        try_number=try_number,
        pushed={} if pushed is None else pushed,
        task=operator,
    )
    return {
        "ti": ti,
        "task_instance": ti,
        "task": operator,
        "dag_run": SimpleNamespace(triggering_user_name=user),
        "outlet_events": defaultdict(lambda: SimpleNamespace(extra=None)),
    }


def handler_of(registry, on_request=None):
    """Return a request handler that serves the calls a promotion makes.

    ``on_request`` is told ``before`` and ``after`` of each call, and which it is.
    """

    def model(said):
        found = registry.aliases(said["name"])
        return {"aliases": [{"alias": a, "version": v} for a, v in found.items()]}

    def version(found):
        return {"name": found.name, "version": found.version, "run_id": found.run_id}

    def search(said):
        name = said["filter"].split("'")[1]
        return {"model_versions": [version(v) for v in registry.find_versions(name)]}

    def tag(name, version, key, value):
        registry.set_tags(name, version, {key: value})

    calls = {
        "GET registered-models/get": lambda said: {"registered_model": model(said)},
        "GET model-versions/get": lambda said: {
            "model_version": version(registry.get_version(said["name"], said["version"]))
        },
        "GET model-versions/search": search,
        "POST model-versions/set-tag": lambda said: tag(**said),
        "POST registered-models/alias": lambda said: registry.set_alias(**said),
        "DELETE registered-models/alias": lambda said: registry.delete_alias(**said),
    }

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = json.loads(body) if body else {k: v[0] for k, v in parse_qs(parts.query).items()}
            call = f"{self.command} {parts.path.removeprefix('/api/2.0/mlflow/')}"
            tell = on_request or (lambda *_told: None)
            tell("before", call)
            try:
                answer, status = calls[call](said) or {}, 200
            except RegistryNotFoundError as error:
                answer = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": str(error)}
                status = 404
            tell("after", call)
            with suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the base class names them

        def log_message(self, *_args):
            pass

    return Handler


@contextmanager
def serving(registry, on_request=None):
    """Serve ``registry`` over HTTP and yield its address."""
    with _running(handler_of(registry, on_request)) as address:
        yield address


@contextmanager
def answering(document, asked):
    """Serve ``document`` to whoever posts, note the body and who asks, and yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((json.loads(body), self.headers["Authorization"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_args):
            pass

    with _running(Handler) as address:
        yield address


@contextmanager
def _running(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def connection(*, conn_type="mlflow", **fields):
    return json.dumps({"conn_type": conn_type, **fields})
