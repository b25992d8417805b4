"""Airflow's pools as a mirror of the devices."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_ai_provider.adapters.airflow_api import AirflowLogin, AirflowPool, AirflowPools
from airflow_ai_provider.cli import main
from airflow_ai_provider.core.errors import (
    AirflowApiError,
    AirflowApiRefusedError,
    AirflowApiUnavailableError,
    SettingsError,
)
from airflow_ai_provider.core.gpu.devices import Device, Health
from airflow_ai_provider.core.gpu.lease import Host, Process, Ticket
from airflow_ai_provider.core.gpu.mirror import MirrorChange, mirror_description
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.services.gpu_pools import (
    CONNECTION,
    login_of_fields,
    login_of_text,
    sync_pools,
)
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.testing import fake_devices, memory_store

HERE = Host(name="testhost", boot_id="b")


class FakePools:
    """Airflow's pools in memory."""

    def __init__(self, *pools: AirflowPool) -> None:
        self.pools = {pool.name: pool for pool in pools}
        self.written: list[str] = []

    def find(self, prefix: str) -> dict[str, AirflowPool]:
        return {name: pool for name, pool in self.pools.items() if name.startswith(prefix)}

    def create(self, pool: AirflowPool) -> None:
        assert pool.name not in self.pools
        self.change(pool)

    def change(self, pool: AirflowPool) -> None:
        self.pools[pool.name] = pool
        self.written.append(pool.name)


def registered(*devices: Device) -> Store:
    """Return a store that knows these devices."""
    store = memory_store()
    GpuStore(store, HERE).ask(
        Ticket(holder="h", request=GpuRequest(gpus=1)),
        process=Process(pid=1, start=1, uid=0),
        devices=devices,
    )
    return store


def mirror(gpu_pool: str, slots: int, **fields: Any) -> AirflowPool:
    return AirflowPool(
        name=f"gpu_{gpu_pool}",
        slots=slots,
        description=mirror_description(gpu_pool),
        **{"include_deferred": False, **fields},
    )


def test_there_is_one_slot_for_each_healthy_device() -> None:
    one, two, three = fake_devices(3)
    store = registered(one, replace(two, health=Health.UNHEALTHY), replace(three, pool="big"))
    pools = FakePools(AirflowPool(name="other", slots=5, description="", include_deferred=True))
    assert sync_pools(store, pools) == [
        MirrorChange(pool="gpu_big", before=None, after=1, reason="1 healthy device"),
        MirrorChange(pool="gpu_default", before=None, after=1, reason="1 healthy device"),
    ]
    assert pools.pools["gpu_big"] == mirror("big", 1)
    assert pools.pools["other"].slots == 5
    assert sync_pools(store, pools) == []
    assert pools.written == ["gpu_big", "gpu_default"]


def test_it_never_has_fewer_slots_than_are_in_use() -> None:
    pools = FakePools(mirror("default", 8, occupied=5))
    (change,) = sync_pools(registered(*fake_devices(2)), pools)
    assert (change.before, change.after) == (8, 5)
    assert change.reason == "2 healthy devices, but 5 slots are in use"


def test_a_mirror_whose_devices_are_gone_has_no_slots_and_a_strangers_pool_keeps_its_own() -> None:
    stranger = AirflowPool(name="gpu_mine", slots=4, description="mine", include_deferred=False)
    pools = FakePools(mirror("gone", 3), stranger)
    changes = sync_pools(registered(*fake_devices(1)), pools)
    assert [(c.pool, c.before, c.after) for c in changes] == [
        ("gpu_default", None, 1),
        ("gpu_gone", 3, 0),
    ]
    assert pools.pools["gpu_mine"] == stranger


def test_a_pool_made_by_hand_becomes_the_mirror_that_its_name_says() -> None:
    by_hand = AirflowPool(name="gpu_default", slots=1, description="", include_deferred=True)
    pools = FakePools(by_hand)
    (change,) = sync_pools(registered(*fake_devices(1)), pools)
    assert (change.before, change.after) == (1, 1)
    assert "include_deferred was another" in change.reason
    assert pools.pools["gpu_default"] == mirror("default", 1)


class Answers(BaseHTTPRequestHandler):
    """Answers as the server's ``script`` says: by method and path, a status and a body."""

    script: dict[str, tuple[int, Any]]
    asked: list[tuple[str, Any, str | None]]

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.asked.append((f"{self.command} {path}", body, self.headers.get("Authorization")))
        status, document = self.script.get(f"{self.command} {path}", (404, {"detail": "no"}))
        data = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - as the base class calls them

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def answering(script: dict[str, tuple[int, Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Serve ``script`` on 127.0.0.1; yield the address and what was asked."""
    asked: list[Any] = []
    handler = type("Handler", (Answers,), {"script": script, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


EMPTY = {"pools": [], "total_entries": 0}
LOGIN = ("POST /auth/token", (201, {"access_token": "t"}))


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        (
            {"POST /auth/token": (401, {"detail": "Invalid credentials"})},
            AirflowApiRefusedError,
            "Invalid credentials Check login and password",
        ),
        (
            dict([LOGIN, ("GET /api/v2/pools", (403, {"detail": "Forbidden"}))]),
            AirflowApiRefusedError,
            "read, create and edit pools",
        ),
        ({}, AirflowApiUnavailableError, "address of Airflow 3's API server"),
        (dict([LOGIN, ("GET /api/v2/pools", (500, "oops"))]), AirflowApiUnavailableError, "oops"),
        (
            dict([LOGIN, ("GET /api/v2/pools", (200, "<html>"))]),
            AirflowApiUnavailableError,
            "not as Airflow's API does",
        ),
        (
            dict([LOGIN, ("GET /api/v2/pools", (200, {"pools": 1}))]),
            AirflowApiUnavailableError,
            "not as Airflow's API does",
        ),
        ({"POST /auth/token": (201, {})}, AirflowApiUnavailableError, "not as Airflow"),
    ],
)
def test_what_airflow_refuses_is_named_with_what_to_do(
    script: dict[str, Any], error: type[AirflowApiError], words: str
) -> None:
    with answering(script) as (url, _):
        pools = AirflowPools(AirflowLogin(url=url, user="u", password="p"))
        with pytest.raises(error, match=words) as caught:
            pools.find("gpu_")
    assert "'p'" not in str(caught.value)


def test_an_airflow_that_is_not_there_is_named() -> None:
    with answering({}) as (url, _):
        pass
    with pytest.raises(AirflowApiUnavailableError, match="whether the API server runs"):
        AirflowPools(AirflowLogin(url=url, token="t")).find("gpu_")
    with pytest.raises(AirflowApiUnavailableError, match="no HTTP address"):
        AirflowPools(AirflowLogin(url="ftp://x", token="t")).find("gpu_")
    with pytest.raises(AirflowApiRefusedError, match="a login and a password, or a token"):
        AirflowPools(AirflowLogin(url=url)).find("gpu_")


def test_a_token_needs_no_login() -> None:
    with answering({"GET /api/v2/pools": (200, EMPTY)}) as (url, asked):
        assert AirflowPools(AirflowLogin(url=url, token="mine")).find("gpu_") == {}
    assert asked == [("GET /api/v2/pools", None, "Bearer mine")]


@pytest.mark.parametrize(
    ("text", "url", "user", "password", "token"),
    [
        ("http://u:p%40@box:8080", "http://box:8080", "u", "p@", None),
        ("http://u:p@box:8443/https", "https://box:8443", "u", "p", None),
        ("https://u:p@box", "https://box", "u", "p", None),
        ("http://box:80?token=abc", "http://box:80", None, None, "abc"),
        ('{"host": "http://box:8080/base", "login": "u", "password": "p"}',
         "http://box:8080/base", "u", "p", None),
        ('{"host": "box", "port": 8080, "schema": "https", "password": "abc"}',
         "https://box:8080", None, "abc", "abc"),
        ('{"host": "box", "extra": {"token": "abc"}}', "http://box", None, None, "abc"),
        (json.dumps({"host": "box", "extra": '{"token": "abc"}'}), "http://box", None, None, "abc"),
    ],
)  # fmt: skip
def test_a_connection_is_read_as_airflow_writes_it(
    text: str, url: str, user: str | None, password: str | None, token: str | None
) -> None:
    login = login_of_text(text)
    assert (login.url, login.user, login.password, login.token) == (url, user, password, token)
    assert "abc" not in repr(login)
    assert "'p'" not in repr(login)


def test_a_connection_that_says_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match="names no host"):
        login_of_fields(host="")
    with pytest.raises(SettingsError, match="no valid JSON"):
        login_of_text("{no")


def test_the_command_says_what_it_changed(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/ai.db"
    GpuStore(Store.open(url), HERE).ask(
        Ticket(holder="h", request=GpuRequest(gpus=1)),
        process=Process(pid=1, start=1, uid=0),
        devices=fake_devices(2),
    )
    there = {"name": "gpu_default", "slots": 1, "include_deferred": True, "occupied_slots": 0}
    page = {"pools": [there], "total_entries": 1}
    script = {"GET /api/v2/pools": (200, page), "PATCH /api/v2/pools/gpu_default": (200, {})}
    with answering(dict([LOGIN, *script.items()])) as (api, asked):
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", api.replace("://", "://u:p@"))
        assert main(["gpu", "sync-pools", "--store", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"pool": "gpu_default", "before": 1, "after": 2, "reason": "2 healthy devices"}
    ]
    what, body, who = asked[-1]
    assert (what, who) == ("PATCH /api/v2/pools/gpu_default", "Bearer t")
    assert body["slots"] == 2
    assert body["include_deferred"] is False
    assert main(["gpu", "sync-pools", "--store", url]) == 2  # nobody answers any more
    assert "AirflowApiUnavailableError" in capsys.readouterr().err
