"""Airflow over its public REST API, with nothing but the standard library: pools, past tasks."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from airflow_ai_provider.core.errors import (
    AirflowApiError,
    AirflowApiRefusedError,
    AirflowApiUnavailableError,
)
from airflow_ai_provider.core.gpu.lease import TaskIdentity

_PAGE = 100
_NO_SUCH = 404


@dataclass(frozen=True, kw_only=True)
class AirflowLogin:
    """Where an Airflow API server is and who asks it: a token, or a user with a password."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    timeout: float = 10.0


@dataclass(frozen=True, kw_only=True)
class AirflowPool:
    """A pool of Airflow's."""

    name: str
    slots: int
    description: str
    include_deferred: bool
    occupied: int = 0


class AirflowApi:
    """One Airflow's REST API, and who asks it."""

    _things = "this"
    _needs = "read it"

    def __init__(self, login: AirflowLogin) -> None:
        self._login = login
        self._base = login.url.rstrip("/")
        self._token = login.token

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        if self._token is None:
            self._token = self._log_in()
        return self._send(method, f"{self._base}/api/v2/{path}", body, token=self._token)

    def _log_in(self) -> str:
        if not self._login.user or self._login.password is None:
            raise AirflowApiRefusedError(
                f"Nothing says who asks Airflow at {self._base}.",
                remedy="Give the connection a login and a password, or a token in its extra.",
                url=self._base,
                status=401,
            )
        said = {"username": self._login.user, "password": self._login.password}
        answer = self._send("POST", f"{self._base}/auth/token", said)
        return str(self._part(answer, "access_token", str))

    def _send(
        self, method: str, url: str, body: Mapping[str, Any] | None, *, token: str | None = None
    ) -> Any:
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        if not url.startswith(("http://", "https://")):
            raise self._away(f"{self._base!r} is no HTTP address")
        request = urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=self._login.timeout) as response:  # noqa: S310
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise self._refusal(method, url, error) from error
        except urllib.error.URLError as error:
            raise self._away(str(error.reason)) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._away(str(error) or type(error).__name__) from error
        except ValueError as error:
            raise self._stranger() from error

    def _refusal(self, method: str, url: str, error: urllib.error.HTTPError) -> AirflowApiError:
        status = error.code
        said = _detail(error.read(10_000).decode(errors="replace")) or str(error.reason)
        facts = {"url": url, "status": status}
        if status == 401:
            return AirflowApiRefusedError(
                f"Airflow at {self._base} does not know who asks (401): {said}",
                remedy="Check login and password, or the token, of the connection.",
                **facts,
            )
        if status == 403:
            return AirflowApiRefusedError(
                f"Airflow at {self._base} does not let this user {method} {self._things} (403): "
                f"{said}",
                remedy=f"Let the connection's user {self._needs}; it needs no more.",
                **facts,
            )
        if status == _NO_SUCH:
            return AirflowApiUnavailableError(
                f"{url} is not there (404): {said}",
                remedy="Check the connection's host: it is the address of Airflow 3's API server.",
                **facts,
            )
        return AirflowApiUnavailableError(
            f"Airflow at {self._base} answers {status}: {said}",
            remedy="See the API server's log.",
            **facts,
        )

    def _away(self, why: str) -> AirflowApiUnavailableError:
        return AirflowApiUnavailableError(
            f"Airflow at {self._base} does not answer: {why}.",
            remedy="Check the connection's host and port, and whether the API server runs.",
            url=self._base,
        )

    def _stranger(self) -> AirflowApiUnavailableError:
        return AirflowApiUnavailableError(
            f"{self._base} answered, but not as Airflow's API does.",
            remedy="Check the connection's host: it is the address of Airflow 3's API server.",
            url=self._base,
        )

    def _part(self, document: Any, name: str, kind: type) -> Any:
        found = document.get(name) if isinstance(document, dict) else None
        if not isinstance(found, kind):
            raise self._stranger()
        return found


class AirflowPools(AirflowApi):
    """The pools of one Airflow."""

    _things = "pools"
    _needs = "read, create and edit pools"

    def find(self, prefix: str) -> dict[str, AirflowPool]:
        """Return the pools whose name begins with ``prefix``."""
        found: dict[str, AirflowPool] = {}
        seen = 0
        while True:
            query = urlencode({"limit": _PAGE, "offset": seen, "order_by": "id"})
            page = self._ask("GET", f"pools?{query}")
            pools = self._part(page, "pools", list)
            seen += len(pools)
            for pool in map(self._pool, pools):
                if pool.name.startswith(prefix):
                    found[pool.name] = pool
            if not pools or seen >= self._part(page, "total_entries", int):
                return found

    def create(self, pool: AirflowPool) -> None:
        """Make a pool."""
        self._ask("POST", "pools", {"name": pool.name, **_fields(pool)})

    def change(self, pool: AirflowPool) -> None:
        """Set slots, description and ``include_deferred`` of a pool that is there."""
        fields = _fields(pool)
        mask = urlencode([("update_mask", name) for name in fields])
        path = f"pools/{quote(pool.name, safe='')}?{mask}"
        self._ask("PATCH", path, {"pool": pool.name, **fields})

    def _pool(self, document: Any) -> AirflowPool:
        return AirflowPool(
            name=self._part(document, "name", str),
            slots=self._part(document, "slots", int),
            description=str(document.get("description") or ""),
            include_deferred=bool(document.get("include_deferred")),
            occupied=self._part(document, "occupied_slots", int),
        )


@dataclass(frozen=True, kw_only=True)
class FinishedTask:
    """A task instance that succeeded: how many seconds it took, and when it ended (ISO 8601)."""

    dag_id: str
    task_id: str
    seconds: float
    ended: str


class AirflowPast(AirflowApi):
    """The task instances that one Airflow finished."""

    _things = "task instances"
    _needs = "read DAG runs and task instances"

    def finished(self, *, since: str, until: str, most: int) -> Iterator[FinishedTask]:
        """Yield the task instances that succeeded from ``since`` to before ``until``, oldest first.

        At most ``most`` are read. One that never started, as of an empty operator, is left out.
        """
        seen = 0
        while seen < most:
            query = urlencode(
                {
                    "state": "success",
                    "end_date_gte": since,
                    "end_date_lt": until,
                    "order_by": "end_date",
                    "limit": min(_PAGE, most - seen),
                    "offset": seen,
                }
            )
            page = self._ask("GET", f"dags/~/dagRuns/~/taskInstances?{query}")
            found = self._part(page, "task_instances", list)
            seen += len(found)
            for document in found:
                seconds = document.get("duration")
                if document.get("start_date") and isinstance(seconds, (int, float)):
                    yield FinishedTask(
                        dag_id=self._part(document, "dag_id", str),
                        task_id=self._part(document, "task_id", str),
                        seconds=float(seconds),
                        ended=self._part(document, "end_date", str),
                    )
            if not found:
                return


class AirflowTasks(AirflowApi):
    """What became of the task instances of one Airflow."""

    _things = "task instances"
    _needs = "read task instances"

    def state(self, task: TaskIdentity) -> str | None:
        """Return the state of a task instance, empty for none yet; None when there is no such."""
        names = (task.dag_id, task.run_id, task.task_id)
        dag, run, name = (quote(str(part), safe="") for part in names)
        path = f"dags/{dag}/dagRuns/{run}/taskInstances/{name}"
        if task.map_index not in {None, -1}:
            path += f"/{task.map_index}"
        try:
            document = self._ask("GET", path)
        except AirflowApiUnavailableError as error:
            if error.facts.get("status") == _NO_SUCH and self._has_dags():
                return None
            raise
        return str(document.get("state") or "")

    def _has_dags(self) -> bool:
        """Whether it is Airflow's API at all that says that there is no such thing."""
        return isinstance(self._part(self._ask("GET", "dags?limit=1"), "dags", list), list)


def _fields(pool: AirflowPool) -> dict[str, Any]:
    return {
        "slots": pool.slots,
        "description": pool.description,
        "include_deferred": pool.include_deferred,
    }


def _detail(text: str) -> str:
    try:
        said = json.loads(text)
    except ValueError:
        return text.strip()[:200]
    detail = said.get("detail", said) if isinstance(said, dict) else said
    return detail if isinstance(detail, str) else json.dumps(detail)[:200]
