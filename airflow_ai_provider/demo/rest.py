"""Airflow's REST API, as the demo's people use it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from airflow_ai_provider.core.errors import DemoError

_TRIES = 4
_PAGE = 100


class AirflowRest:
    """One user's view of one Airflow.

    Reads are tried again when the server is slow or busy; a change is sent once.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self.user = user
        self._password = password
        self._client = httpx.Client(base_url=url, timeout=30, trust_env=False)
        self._token: str | None = None

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def health(self) -> dict[str, str]:
        """Return each component's status; of a server that does not answer yet, nothing."""
        try:
            response = self._client.get("/api/v2/monitor/health", timeout=5)
            answer = response.json() if response.status_code == httpx.codes.OK else {}
        except (httpx.TransportError, ValueError):
            return {}
        return {name: str((part or {}).get("status")) for name, part in answer.items()}

    def warm_execution_api(self) -> None:
        """Build the API that tasks talk to: its first request takes seconds."""
        self._client.get("/execution/health", timeout=60)

    def import_errors(self) -> list[dict[str, Any]]:
        """Return the DAG files that could not be imported."""
        return self._list("importErrors", "import_errors")

    def dag_ids(self) -> set[str]:
        """Return the DAGs that this Airflow knows."""
        return {dag["dag_id"] for dag in self._list("dags", "dags")}

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run of ``dag_id`` and return its id."""
        body = {"logical_date": None, "conf": dict(conf or {})}
        return str(self._send("POST", f"dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def runs(self) -> list[dict[str, Any]]:
        """Return every run of every DAG, oldest first."""
        return self._list("dags/~/dagRuns", "dag_runs", order_by="run_after")

    def tasks(self, **filters: Any) -> list[dict[str, Any]]:
        """Return the task instances of every run that ``filters`` (Airflow's own) let through."""
        return self._list("dags/~/dagRuns/~/taskInstances", "task_instances", **filters)

    def pending(self) -> list[dict[str, Any]]:
        """Return what waits for a person's answer."""
        return self._list("dags/~/dagRuns/~/hitlDetails", "hitl_details", response_received="false")

    def answer(
        self, task: Mapping[str, Any], options: list[str], values: Mapping[str, Any]
    ) -> bool:
        """Answer for the waiting ``task``; False when somebody else was faster."""
        place = (
            f"dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/"
            f"{task['task_id']}/{task['map_index']}/hitlDetails"
        )
        body = {"chosen_options": options, "params_input": dict(values)}
        return self._send("PATCH", place, body, conflict_is_none=True) is not None

    def log(self, task: Mapping[str, Any]) -> str:
        """Return the log of the task's last try."""
        place = (
            f"dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/"
            f"{task['task_id']}/logs/{task['try_number']}"
        )
        answer = self._get(place, map_index=task["map_index"], full_content="true")
        content = answer.get("content") or []
        if isinstance(content, str):
            return content
        return "\n".join(_log_line(entry) for entry in content)

    def _list(self, path: str, key: str, **params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self._get(path, limit=_PAGE, offset=len(found), **params)
            found += page[key]
            if len(found) >= page["total_entries"] or not page[key]:
                return found

    def _get(self, path: str, **params: Any) -> dict[str, Any]:
        for attempt in range(1, _TRIES + 1):
            try:
                response = self._request("GET", path, params=params)
            except httpx.TransportError as error:
                if attempt == _TRIES:
                    raise self._silent(path, error) from error
            else:
                if response.status_code < httpx.codes.INTERNAL_SERVER_ERROR or attempt == _TRIES:
                    return self._parsed("GET", path, response)
            time.sleep(0.5 * attempt)
        raise AssertionError("unreachable")

    def _send(
        self, method: str, path: str, body: Mapping[str, Any], *, conflict_is_none: bool = False
    ) -> Any:
        try:
            response = self._request(method, path, json=body)
        except httpx.TransportError as error:
            raise self._silent(path, error) from error
        if conflict_is_none and response.status_code == httpx.codes.CONFLICT:
            return None
        return self._parsed(method, path, response)

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        if self._token is None:
            self._token = self._new_token()
        headers = {"Authorization": f"Bearer {self._token}"}
        return self._client.request(method, f"/api/v2/{path}", headers=headers, **arguments)

    def _new_token(self) -> str:
        body = {"username": self.user, "password": self._password}
        response = self._client.post("/auth/token", json=body)
        return str(self._parsed("POST", "auth/token", response)["access_token"])

    def _parsed(self, method: str, path: str, response: httpx.Response) -> dict[str, Any]:
        if response.is_success:
            answer: dict[str, Any] = response.json()
            return answer
        raise DemoError(
            f"Airflow refused {self.user}'s {method} {path}: {response.status_code} "
            f"{response.text[:500]}.",
            remedy="Look into logs/api-server.log of the demo's home.",
            status=response.status_code,
        )

    def _silent(self, path: str, error: Exception) -> DemoError:
        return DemoError(
            f"Airflow does not answer {self.user}'s request for {path}: {error!r}.",
            remedy="Look into logs/api-server.log of the demo's home.",
        )


def _log_line(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return str(entry)
    head = " ".join(str(entry[k]) for k in ("timestamp", "level") if entry.get(k))
    lines = [f"{head} {entry.get('event', '')}".strip()]
    for detail in entry.get("error_detail") or []:
        lines.append(f"    {detail.get('exc_type')}: {detail.get('exc_value')}")
        lines += [
            f"      {frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}"
            for frame in detail.get("frames") or []
        ]
    return "\n".join(lines)
