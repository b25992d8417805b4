"""A proxy before a server that does to chosen requests what a test says."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_PASSED_ON = ("Authorization", "Content-Type", "Range")


@dataclass
class Rule:
    """What is done to the requests ``method`` whose path holds ``path``.

    The first ``skip`` pass, then ``times`` are taken. ``before`` and ``after`` are called around
    the server's own answer. With ``status`` the server is not asked, the answer is ``says``;
    ``cut`` ends the connection instead of an answer, ``short`` before its end; ``answer`` changes
    its body.
    """

    method: str
    path: str
    times: int = 1_000_000
    skip: int = 0
    before: Callable[[], object] | None = None
    after: Callable[[], object] | None = None
    status: int | None = None
    says: bytes = b'{"error_code": "INTERNAL_ERROR", "message": "so says the proxy"}'
    cut: bool = False
    short: bool = False
    answer: Callable[[bytes], bytes] | None = None

    def takes(self, method: str, path: str) -> bool:
        """Return whether this request is the rule's, and count it."""
        if method != self.method or self.path not in path:
            return False
        self.skip -= 1
        if self.skip >= 0:
            return False
        self.times -= 1
        return self.times >= 0


class Proxy(ThreadingHTTPServer):
    """Answers as the server at ``target`` does, but for the ``rules``; ``asked`` lists requests."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target).netloc
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.rules: list[Rule] = []
        self.asked: list[str] = []
        self.away = False

    def on(self, method: str, path: str, **what: object) -> None:
        """Add a rule; the first that takes a request is applied."""
        self.rules.append(Rule(method, path, **what))  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a cut connection is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(f"{self.command} {self.path}")
        if self.server.away:
            return
        rule = next((r for r in self.server.rules if r.takes(self.command, self.path)), None)
        rule = rule or Rule("", "")
        if rule.before:
            rule.before()
        if self.server.away:
            return
        if rule.status is not None:
            self._say(rule.status, rule.says, {})
            return
        status, answer, headers = self._asked_of_the_server(body)
        if rule.after:
            rule.after()
        if rule.cut:
            return
        if rule.short:
            headers["Content-Length"] = str(len(answer) + 1)
        self._say(status, rule.answer(answer) if rule.answer else answer, headers)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the base names them

    def _asked_of_the_server(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection(self.server.target, timeout=30)
        try:
            said = {name: self.headers[name] for name in _PASSED_ON if self.headers[name]}
            connection.request(self.command, self.path, body=body, headers=said)
            found = connection.getresponse()
            kind = {"Content-Type": found.headers.get("Content-Type") or "application/json"}
            return found.status, found.read(), kind
        finally:
            connection.close()

    def _say(self, status: int, answer: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(answer)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_said: object) -> None:
        """Say nothing."""


@contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    """Run a proxy before ``target`` while the block runs."""
    proxy = Proxy(target)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
