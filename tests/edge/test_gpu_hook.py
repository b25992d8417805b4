"""The pool behind a connection."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_ai_provider.core.errors import AirflowApiUnavailableError
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.hooks.gpu import GpuPoolHook, api_login
from airflow_ai_provider.services.gpu import GpuPool
from tests.edge.gpu_tasks import occupy


class NoAirflow(BaseHTTPRequestHandler):
    """Some server that is no Airflow."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_without_a_connection_to_airflows_api_there_is_no_mirror(pool: GpuPool) -> None:
    with pytest.raises(AirflowNotFoundException, match="airflow_api_default"):
        GpuPoolHook().sync_pools()


def test_the_connection_says_who_asks_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"conn_type": "http", "host": "box", "port": 8080, "login": "u", "password": "p"}
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps(said))
    login = api_login("mine")
    assert (login.url, login.user, login.password) == ("http://box:8080", "u", "p")
    said["extra"] = json.dumps({"token": "abc"})
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps(said))
    assert api_login("mine").token == "abc"


def test_a_server_that_is_no_airflow_is_named(
    pool: GpuPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), NoAirflow) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        said = {"conn_type": "http", "host": f"http://127.0.0.1:{server.server_port}",
                "extra": {"token": "abc"}}  # fmt: skip
        monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API_DEFAULT", json.dumps(said))
        with pytest.raises(AirflowApiUnavailableError, match="not as Airflow's API does"):
            GpuPoolHook().sync_pools()
        server.shutdown()


def test_what_is_free_is_told_and_not_taken(pool: GpuPool) -> None:
    lease = occupy(pool)
    assert GpuPoolHook().free_slots(GpuRequest.of()).reason == "devices_busy"
    pool.release(lease)
    assert GpuPoolHook().free_slots(GpuRequest.of()).devices == ("cpu:0",)
