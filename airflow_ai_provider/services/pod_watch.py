"""The pods and Jobs of tasks as one watch has them, for all triggers of this process.

So a thousand gated or running pods cost the API server what one does. Who finds a pod missing here
asks the API server itself: that it is gone is said by nobody else.
"""

from __future__ import annotations

import threading
import time
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
                self._run.start()
            self._run.asked_at = time.monotonic()
            return self._run


class _Run:
    """Watches from their beginning to their end: of pods, of nodes, of Jobs where some are."""

    def __init__(self, api: PodApi, idle: float) -> None:
        where = api.address
        self._api = api
        self._jobs: dict[str, Reflected] = {}
        self._starting = threading.Lock()
        self.asked_at = time.monotonic()
        self._idle = idle
        self.pods = Reflected(
            "task pods", where, _slim, api.task_pods, api.watch_task_pods, _nothing, _path
        )
        self.nodes = Reflected("nodes", where, node_of, api.nodes, api.watch_nodes, _nothing, _name)

    def start(self) -> None:
        for reflected in (self.pods, self.nodes):
            self._go(reflected)

    def jobs(self, namespace: str) -> Reflected:
        """Return the Jobs of a namespace, which are watched from now on."""
        with self._starting:
            if namespace not in self._jobs:
                lists = partial(self._api.task_jobs, namespace)
                watches = partial(self._api.watch_task_jobs, namespace)
                where = self._api.address
                made = Reflected("task Jobs", where, _slim, lists, watches, _nothing, _name)
                self._jobs[namespace] = made
                self._go(made)
            return self._jobs[namespace]

    def _go(self, reflected: Reflected) -> None:
        threading.Thread(
            target=reflected.run, args=(self.is_over,), name="pod-watch", daemon=True
        ).start()

    def is_over(self) -> bool:
        """Whether nobody asks any more: then it is for good."""
        every = (self.pods, self.nodes, *list(self._jobs.values()))
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
