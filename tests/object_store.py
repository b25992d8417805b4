"""As much of an object store's API (S3) as a Delta table asks for, in this process."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

MODIFIED = "Mon, 10 Jun 2013 00:00:00 GMT"
BUCKET = "bucket"


class Bucket:
    """The objects, and what is refused: ``refuses`` says for a key which HTTP status, if any."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refuses: Callable[[str], int | None] = lambda _key: None
        self.url = ""

    @property
    def options(self) -> dict[str, str]:
        """The options of storage that reach it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
        }

    def put(self, key: str, body: bytes, *, only_new: bool) -> int:
        status = self.refuses(key)
        if status is not None:
            return status
        if only_new and key in self.objects:
            return 412
        self.objects[key] = body
        return 200


class Handler(BaseHTTPRequestHandler):
    bucket: Bucket
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        key, query = self._asked()
        if "list-type" in query:
            self._answer(200, _listing(self.bucket, query["prefix"][0]).encode())
        elif key not in self.bucket.objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._ranged(self.bucket.objects[key])

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        key, _ = self._asked()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        only_new = self.headers.get("If-None-Match") == "*"
        status = self.bucket.put(key, body, only_new=only_new)
        self._answer(status, b"" if status == 200 else b"<Error><Code>Refused</Code></Error>")

    def do_DELETE(self) -> None:
        self.bucket.objects.pop(self._asked()[0], None)
        self._answer(204, b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        key = unquote(parts.path).removeprefix(f"/{BUCKET}").lstrip("/")
        return key, parse_qs(parts.query, keep_blank_values=True)

    def _ranged(self, body: bytes) -> None:
        asked = self.headers.get("Range")
        if asked is None:
            self._answer(200, body)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        begin = int(first) if first else len(body) - int(last)
        end = min(int(last) + 1, len(body)) if first and last else len(body)
        self._answer(206, body[begin:end], f"bytes {begin}-{end - 1}/{len(body)}")

    def _answer(self, status: int, body: bytes, part: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        self.send_header("Last-Modified", MODIFIED)
        if part:
            self.send_header("Content-Range", part)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def object_store() -> Iterator[Bucket]:
    """Yield an empty bucket, served on this machine."""
    bucket = Bucket()
    served = type("Served", (Handler,), {"bucket": bucket})
    with ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        server.daemon_threads = True
        bucket.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield bucket
        finally:
            server.shutdown()


@contextmanager
def object_store_apart() -> Iterator[tuple[Bucket, Callable[[], None]]]:
    """Yield the address of an empty bucket, and what ends it, in a process of its own.

    Parts of the library of Delta tables wait for an answer without letting Python run meanwhile.
    """
    bucket = Bucket()
    served = type("Served", (Handler,), {"bucket": bucket})
    with ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        bucket.url = f"http://127.0.0.1:{server.server_port}"
        process = multiprocessing.get_context("fork").Process(
            target=server.serve_forever, daemon=True
        )
        process.start()

    def end() -> None:
        process.kill()
        process.join()

    try:
        yield bucket, end
    finally:
        end()


def _listing(bucket: Bucket, prefix: str) -> str:
    found = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{len(body)}</Size>"
        f"<LastModified>2013-06-10T00:00:00.000Z</LastModified><ETag>x</ETag></Contents>"
        for key, body in sorted(bucket.objects.items())
        if key.startswith(prefix)
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
