"""What the plugin's routes answer to people of every role, in a fresh Airflow application.

``python -m tests.edge.plugin_answers FILE`` reads the questions as JSON from standard input
(``{"paths": [path, ...], "posts": [[name, role, path, content type, body], ...]}``) and writes the
answers by name to FILE: standard output is full of logs.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvicorn
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi.testclient import TestClient

from airflow_ai_provider.adapters.airflow_api import AirflowLogin, AirflowPool, AirflowPools
from airflow_ai_provider.core.errors import AirflowApiError
from airflow_ai_provider.hooks.store import AiStoreHook
from airflow_ai_provider.services.gpu_pools import sync_pools
from airflow_ai_provider.store.engine import Store

BASE = "/airflow-ai/exceptions"


class People:
    """Clients of the application, by role; none is logged in without one."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def headers(self, role: str | None) -> dict[str, str]:
        """Return what a program sends for somebody."""
        return {"Authorization": f"Bearer {self._jwt(role)}"} if role else {}

    def cookies(self, role: str) -> dict[str, str]:
        """Return what a browser sends for somebody."""
        return {"_token": self._jwt(role)}

    def client(self, **how: Any) -> TestClient:
        """Return a client that is told of errors as a person is."""
        return TestClient(self.app, raise_server_exceptions=False, **how)

    def page_token(self, role: str) -> str:
        """Return the token that a page which this person opened sends along."""
        page = self.client(cookies=self.cookies(role)).get("/airflow-ai/ui/board").text
        return page.partition('name="csrf-token" content="')[2].partition('"')[0]

    def _jwt(self, role: str | None) -> str:
        manager = self.app.state.auth_manager
        return str(manager.generate_jwt(SimpleAuthManagerUser(username=role or "", role=role)))


def told(answer: Any) -> list[Any]:
    """Return an answer's status and JSON."""
    return [answer.status_code, answer.json()]


def read(people: People, paths: list[str]) -> Iterator[tuple[str, Any]]:
    """Ask for each path as each role."""
    for role in (None, "viewer", "user", "op", "admin"):
        client = people.client()
        for path in paths:
            found = client.get(path, headers=people.headers(role), follow_redirects=False)
            is_json = found.headers.get("content-type") == "application/json"
            yield f"{role} {path}", [found.status_code, found.json() if is_json else found.text]


def post(people: People, posts: list[list[Any]]) -> Iterator[tuple[str, Any]]:
    """Send each body; a number is that many bytes."""
    client = people.client()
    for name, role, path, kind, body in posts:
        content = body if isinstance(body, str) else b"[" + b" " * body
        headers = {**people.headers(role), "Content-Type": kind}
        yield name, told(client.post(path, headers=headers, content=content))


def review_all(people: People) -> Iterator[tuple[str, Any]]:
    """Review as several people, with their own page's token, somebody else's and none."""
    for role in (None, "viewer"):
        yield f"review {role}", review(people.client(headers=people.headers(role)))
    for whose in (None, "viewer", "op"):
        headers = {"X-Airflow-AI-Token": people.page_token(whose)} if whose else {}
        client = people.client(headers=headers, cookies=people.cookies("op"))
        yield f"review cookie {whose}", review(client)
    yield "review user", review(people.client(headers=people.headers("user")))


def review(client: TestClient) -> list[Any]:
    """Claim cases, answer one twice and give another back, as whoever this is."""
    found = [told(client.get(BASE)), told(client.post(BASE + "/claim", json={"limit": 2}))]
    cases = [case["id"] for case in found[1][1]] if found[1][0] == 200 else ["none"] * 2
    answer = f"{BASE}/{cases[0]}/answer"
    found.append(told(client.post(answer, json={"label": 7, "comment": "x"})))
    found.append(told(client.post(answer, json={"label": 1, "comment": "x"})))
    found.append(told(client.post(answer, json={"label": 1})))
    found.append(told(client.post(f"{BASE}/{cases[1]}/return")))
    found.append(told(client.get(BASE + "/mine")))
    return found


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve the application; give its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True


def mirror_all(url: str) -> Iterator[tuple[str, Any]]:
    """Mirror the devices in Airflow's pools, as who may, who may not and with a wrong password."""
    store = Store.open(AiStoreHook().get_url())
    for user, password in (("ml", "secret"), ("viewer", "secret"), ("ml", "wrong")):
        pools = AirflowPools(AirflowLogin(url=url, user=user, password=password))
        try:
            answer = mirror(store, pools)
        except AirflowApiError as error:
            answer = [type(error).__name__, str(error)]
        yield f"mirror {user} {password}", answer


def mirror(store: Store, pools: AirflowPools) -> list[Any]:
    """Mirror twice, and again after somebody changed the pool by hand."""
    done = [[asdict(change) for change in sync_pools(store, pools)] for _ in range(2)]
    name = pools.find("gpu_")["gpu_default"].name
    pools.change(AirflowPool(name=name, slots=9, description="", include_deferred=True))
    done.append([asdict(change) for change in sync_pools(store, pools)])
    return [done, asdict(pools.find("gpu_")["gpu_default"])]


def main(target: Path) -> None:
    """Ask all and write what was answered."""
    sys.argv.append("api-server")  # Airflow looks there for what it is
    from airflow.api_fastapi.app import create_app

    app, asked = create_app(apps="core"), json.loads(sys.stdin.read())
    people = People(app)
    answers = dict(read(people, asked["paths"]))
    answers.update(post(people, asked["posts"]))
    answers.update(review_all(people))
    with served(app) as url:
        answers.update(mirror_all(url))
    target.write_text(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
