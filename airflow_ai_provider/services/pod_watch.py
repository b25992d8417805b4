"""The pods and Jobs of tasks as one watch has them, for all triggers of this process.

So a thousand gated or running pods cost the API server what one does. Who finds a pod missing here
asks the API server itself: that it is gone is said by nobody else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from airflow_ai_provider.core.gpu.cluster import Node, node_of
from airflow_ai_provider.core.gpu.job_life import JOB_NAME
from airflow_ai_provider.services.reflected import Events, Reflected

_SHARED = 5.0  # seconds
_LISTED = 10.0  # seconds that the first list may take
_IDLE = 120.0  # seconds without a question after which it looks no longer


class PodApi(Protocol):
    """What it needs of ``adapters.kubernetes_jobs.JobApi``."""

    @property
    def address(self) -> str: ...

    def nodes(self) -> tuple[list[dict[str, Any]], str]: ...

    def watch_nodes(self, version: str, seconds: int) -> Events: ...

    def task_pods(self) -> tuple[list[dict[str, Any]], str]: ...

    def watch_task_pods(self, version: str, seconds: int) -> Events: ...

    def task_jobs(self, namespace: str) -> tuple[list[dict[str, Any]], str]: ...

    def watch_task_jobs(self, namespace: str, version: str, seconds: int) -> Events: ...

    def pod(self, namespace: str, name: str) -> dict[str, Any] | None: ...

    def job(self, namespace: str, name: str) -> dict[str, Any] | None: ...

    def workloads(self, namespace: str) -> list[dict[str, Any]]: ...


class PodWatch:
    """Runs from the first question on, until nobody asked for ``idle`` seconds."""

    def __init__(self, api: PodApi, *, idle: float = _IDLE) -> None:
        self._api = api
        self._idle = idle
        self._lock = threading.Lock()
        self._run: _Run | None = None
        self._asking = threading.Lock()
        self._workloads: dict[str, tuple[float, list[dict[str, Any]]]] = {}

    def pod(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a pod's JSON; None when the API server says that there is none.

        :raises ClusterError: it had to be asked, and does not answer.
        """
        pods = self._running().pods
        pods.wait(_LISTED)  # a thousand that ask at once ask the API server once
        found: dict[str, Any] | None = pods.get(f"{namespace}/{name}")
        return self._api.pod(namespace, name) if found is None else found

    def job(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a Job's JSON; None when the API server says that there is none.

        :raises ClusterError: it had to be asked, and does not answer.
        """
        jobs = self._running().jobs(namespace)
        jobs.wait(_LISTED)
        found: dict[str, Any] | None = jobs.get(name)
        return self._api.job(namespace, name) if found is None else found

    def job_pods(self, namespace: str, name: str) -> list[dict[str, Any]]:
        """Return the pods that a Job has now; one that was made just now may be missing."""
        pods = self._running().pods
        pods.wait(_LISTED)
        return [
            pod
            for pod in pods.all() or ()
            if pod["metadata"].get("namespace") == namespace
            and (pod["metadata"].get("labels") or {}).get(JOB_NAME) == name
        ]

    def node_trouble(self, name: str) -> str:
        """Return why a node does not answer; empty when it does, or nobody has said yet."""
        nodes = self._running().nodes
        found: Node | None = nodes.get(name)
        if found is not None:
            return found.trouble
        return "" if nodes.all() is None else "the node is gone"

    def workloads(self, namespace: str) -> list[dict[str, Any]]:
        """Return Kueue's Workloads of a namespace; all that ask share one answer for a while.

        :raises ClusterError: there are none to be had.
        """
        with self._asking:
            at, found = self._workloads.get(namespace, (-_SHARED, []))
            if time.monotonic() - at > _SHARED:
                found = self._api.workloads(namespace)
                self._workloads[namespace] = (time.monotonic(), found)
            return found

    def _running(self) -> _Run:
        with self._lock:
            if self._run is None or self._run.is_over():
                self._run = _Run(self._api, self._idle)
            self._run.asked_at = time.monotonic()
            return self._run


class _Run:
    """Watches from their beginning to their end: of pods, of nodes and Jobs once one is asked."""

    def __init__(self, api: PodApi, idle: float) -> None:
        self._api = api
        self._idle = idle
        self._every: dict[str, Reflected] = {}
        self._starting = threading.Lock()
        self.asked_at = time.monotonic()

    @property
    def pods(self) -> Reflected:
        api = self._api
        return self._kept("task pods", _slim, api.task_pods, api.watch_task_pods, _path)

    @property
    def nodes(self) -> Reflected:
        return self._kept("nodes", node_of, self._api.nodes, self._api.watch_nodes, _name)

    def jobs(self, namespace: str) -> Reflected:
        """Return the Jobs of a namespace."""
        lists = partial(self._api.task_jobs, namespace)
        watches = partial(self._api.watch_task_jobs, namespace)
        return self._kept(f"task Jobs of {namespace}", _slim, lists, watches, _name)

    def _kept(
        self,
        what: str,
        read: Callable[[dict[str, Any]], Any],
        lists: Callable[[], tuple[list[dict[str, Any]], str]],
        watches: Callable[[str, int], Events],
        key: Callable[[dict[str, Any]], str],
    ) -> Reflected:
        """Return the copy of some objects, which are watched from the first question on."""
        with self._starting:
            if what not in self._every:
                made = Reflected(what, self._api.address, read, lists, watches, _nothing, key)
                self._every[what] = made
                threading.Thread(
                    target=made.run, args=(self.is_over,), name="pod-watch", daemon=True
                ).start()
            return self._every[what]

    def is_over(self) -> bool:
        """Whether nobody asks any more: then it is for good."""
        every = list(self._every.values())
        if time.monotonic() - self.asked_at > self._idle:
            for reflected in every:
                reflected.is_stopped = True
        return any(reflected.is_stopped for reflected in every)


def _name(document: dict[str, Any]) -> str:
    return str(document["metadata"]["name"])


def _path(document: dict[str, Any]) -> str:
    return f"{document['metadata'].get('namespace')}/{document['metadata']['name']}"


def _slim(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out who changed which field when: half of a pod's JSON."""
    document["metadata"].pop("managedFields", None)
    return document


def _nothing() -> None:
    pass
