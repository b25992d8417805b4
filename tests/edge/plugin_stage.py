"""Airflow's own application with our plugin, asked over HTTP by people of every role.

``python -m tests.edge.plugin_stage FILE`` reads questions as JSON from standard input and writes
the answers to FILE: ``{"routes": [[method, path], ...], "answers": [...]}``, in the order asked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PREFIX = "/airflow-ai"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request: ``token`` is whose page it comes from, or words that are no token at all.

    ``role`` of somebody who is logged in and may do nothing is None; ``user`` of nobody is None.
    """

    path: str
    method: str = "GET"
    user: str | None = None
    role: str | None = None
    how: str = "bearer"
    token: str | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    store: str | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was answered."""

    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> Any:
        """Return the body as values."""
        return json.loads(self.text)


def ask_all(home: Path, asks: list[Ask]) -> tuple[set[tuple[str, str]], list[Told]]:
    """Return every route of the plugin's applications, and the answers in order."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__API_AUTH__JWT_SECRET": "0123456789abcdef" * 4,
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "PYTHONPATH": str(ROOT),
    }
    told = home / "told.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.edge.plugin_stage", told], env=env, text=True,
        input=json.dumps([asdict(ask) for ask in asks]), capture_output=True, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert told.exists(), said[-5000:]
    assert "Traceback" not in said, said[said.index("Traceback") :][:5000]
    document = json.loads(told.read_text())
    return {(m, p) for m, p in document["routes"]}, [Told(**each) for each in document["answers"]]


def main() -> None:
    """Answer the questions."""
    target = Path(sys.argv[1])
    sys.argv = ["airflow", "api-server"]
    from airflow import settings
    from airflow.api_fastapi.app import create_app
    from airflow.models.revoked_token import RevokedToken

    assert settings.engine is not None
    table: Any = RevokedToken
    table.__table__.create(settings.engine, checkfirst=True)  # all that a request reads of Airflow
    app = create_app(apps="core")
    stage = _Stage(app)
    answers = [stage.ask(Ask(**each)) for each in json.load(sys.stdin)]
    found = {"routes": _routes(app), "answers": [asdict(each) for each in answers]}
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(found))
    partial.rename(target)


def _routes(app: Any) -> list[tuple[str, str]]:
    from airflow_ai_provider.plugins.airflow_ai import AirflowAiPlugin

    mounted = {getattr(route, "path", None): getattr(route, "app", None) for route in app.routes}
    found = []
    for each in AirflowAiPlugin.fastapi_apps:
        assert mounted[each["url_prefix"]] is each["app"]
        for route in each["app"].routes:
            path = f"{each['url_prefix']}{route.path}"
            found += [(method, path) for method in sorted(route.methods or {"any"})]
    return found


class _Stage:
    def __init__(self, app: Any) -> None:
        from fastapi.testclient import TestClient

        self._manager = app.state.auth_manager
        self._client = TestClient(app, raise_server_exceptions=False, follow_redirects=False)
        self._tokens: dict[tuple[str, str | None], str] = {}

    def ask(self, ask: Ask) -> Told:
        headers = dict(ask.headers)
        if ask.user is not None and ask.how == "bearer":
            headers["Authorization"] = f"Bearer {self._jwt(ask.user, ask.role)}"
        elif ask.user is not None:
            headers["Cookie"] = f"_token={self._jwt(ask.user, ask.role)}"
        if ask.token is not None:
            headers["X-Airflow-AI-Token"] = self._page_token(ask.token)
        content = None if ask.body is None else json.dumps(ask.body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        os.environ.pop("AIRFLOW_CONN_AI_STORE_DEFAULT", None)
        if ask.store:
            os.environ["AIRFLOW_CONN_AI_STORE_DEFAULT"] = ask.store
        found = self._client.request(ask.method, ask.path, headers=headers, content=content)
        return Told(status=found.status_code, headers=dict(found.headers), text=found.text)

    def _jwt(self, user: str, role: str | None) -> str:
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        key = (user, role)
        if key not in self._tokens:
            made = SimpleAuthManagerUser(username=user, role=role)
            self._tokens[key] = self._manager.generate_jwt(made)
        return self._tokens[key]

    def _page_token(self, whose: str) -> str:
        """Return what a page of ``whose`` carries; other words are returned as they are."""
        user, _, role = whose.partition("/")
        if not role:
            return whose
        page = self.ask(Ask(path=f"{PREFIX}/ui/board", user=user, role=role, how="cookie"))
        token = page.text.partition('name="csrf-token" content="')[2].partition('"')[0]
        assert token, page
        return token


if __name__ == "__main__":
    main()
