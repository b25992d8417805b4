"""Feedback over HTTP on a real API server, beside a route of the same server that does nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.report import beside, figure, say

SERVER = """
import os, sys
from pathlib import Path
sys.argv.append("api-server")
from airflow.api_fastapi.app import create_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import requires_access_asset
from airflow_ai_provider.plugins import api
from airflow_ai_provider.services.store import open_store
from airflow_ai_provider.hooks.store import AiStoreHook
from fastapi import Depends, FastAPI
import uvicorn
open_store(AiStoreHook().get_url(), create=True)
app = create_app(apps="core")
[ours] = [route.app for route in app.routes if getattr(route, "path", "") == "/airflow-ai"]
async def nothing():
    return {}
ours.post("/nothing", dependencies=[Depends(requires_access_asset(method="POST"))])(nothing)
token = app.state.auth_manager.generate_jwt(SimpleAuthManagerUser(username="op", role="op"))
config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", access_log=False)
server = uvicorn.Server(config)
started = server.startup
async def startup(sockets=None):
    await started(sockets)
    port = server.servers[0].sockets[0].getsockname()[1]
    ready = Path(os.environ["AIRFLOW_HOME"]) / "ready"
    ready.with_suffix(".part").write_text(f"{port} {token}")
    ready.with_suffix(".part").rename(ready)
server.startup = startup
server.run()
"""
_CLIENTS = 32
_SECONDS = 4.0
_ROUNDS = 3
_BATCH = 500
_numbers = count()


def measure(seconds: float = _SECONDS, rounds: int = _ROUNDS) -> Iterator[dict[str, Any]]:
    """Send single records and batches, interleaved with requests of the empty route."""
    rates: dict[str, list[float]] = {"nothing": [], "single": [], "batch": []}
    with server() as (port, token):
        for _ in range(rounds):
            for what, path, body in (
                ("nothing", "nothing", _single),
                ("single", "feedback", _single),
                ("batch", "feedback", _batch),
            ):
                rates[what].append(_rate(port, token, f"/airflow-ai/{path}", body, seconds))
            say(", ".join(f"{what} {found[-1]:.0f}/s" for what, found in rates.items()))
    single, nothing = median(rates["single"]), median(rates["nothing"])
    yield beside(
        "HTTP, single records: seconds for 1000", 1000 / single, "s", 1000 / nothing,
        peer="an empty authenticated route", at_least=0.5,
    )  # fmt: skip
    each = median(rates["batch"]) * _BATCH
    yield figure(f"HTTP, batches of {_BATCH}", each, "records/s", 5000, at_least=True)


@contextmanager
def server() -> Iterator[tuple[int, str]]:
    """Run an API server of Airflow; yield its port and an operator's token."""
    with tempfile.TemporaryDirectory() as home:
        env = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
        env |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "op:op",
            "AIRFLOW__API_AUTH__JWT_SECRET": "0123456789abcdef" * 4,
        }
        migrating = [sys.executable, "-m", "airflow", "db", "migrate"]
        subprocess.run(migrating, env=env, check=True, capture_output=True)
        ready, log = Path(home) / "ready", Path(home) / "server.log"
        with log.open("w") as stream:
            command = [sys.executable, "-c", SERVER]
            process = subprocess.Popen(command, env=env, stdout=stream, stderr=stream)
            try:
                while not ready.exists():
                    if process.poll() is not None:
                        raise AssertionError(log.read_text())
                    time.sleep(0.1)
                port, token = ready.read_text().split()
                yield int(port), token
            finally:
                process.terminate()
                process.wait()


def _rate(port: int, token: str, path: str, body: Callable[[], bytes], seconds: float) -> float:
    """Return how many requests a second several clients get answered."""
    answered = [0] * _CLIENTS
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    until = time.perf_counter() + seconds

    def client(place: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        while time.perf_counter() < until:
            connection.request("POST", path, body(), headers)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            assert answer.status == 200, told
            assert told.get("stored") == told.get("read"), told
            answered[place] += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(place,)) for place in range(_CLIENTS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = sum(answered) / (time.perf_counter() - began)
    assert rate > 0
    return rate


def _single() -> bytes:
    return json.dumps(_record()).encode()


def _batch() -> bytes:
    return json.dumps([_record() for _ in range(_BATCH)]).encode()


def _record() -> dict[str, Any]:
    number = next(_numbers)
    return {
        "feedback_id": f"h{number}",
        "prediction_id": f"p{number}",
        "model_name": "flight_delays",
        "observed_at": "2013-06-10T00:00:00Z",
        "score": 1 + number % 5,
        "comment": "answered from the page",
    }
