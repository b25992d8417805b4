"""The pods of tasks as one watch has them, for all triggers of this process that follow one.

So a thousand gated or running pods cost the API server what one does. Who finds a pod missing here
asks the API server itself: that it is gone is said by nobody else.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol

from airflow_ai_provider.core.gpu.cluster import Node, node_of
from airflow_ai_provider.services.reflected import Events, Reflected

_SHARED = 5.0  # seconds


class PodApi(Protocol):
    """What it needs of ``adapters.kubernetes.KubernetesApi``."""

    def nodes(self) -> tuple[list[dict[str, Any]], str]: ...

    def watch_nodes(self, version: str, seconds: int) -> Events: ...

    def task_pods(self) -> tuple[list[dict[str, Any]], str]: ...

    def watch_task_pods(self, version: str, seconds: int) -> Events: ...

    def pod(self, namespace: str, name: str) -> dict[str, Any] | None: ...

    def workloads(self, namespace: str) -> list[dict[str, Any]]: ...


class PodWatch:
    """Runs from the first question on, as long as the process."""

    def __init__(self, api: PodApi) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._runs = False
        self._asking = threading.Lock()
        self._workloads: dict[str, tuple[float, list[dict[str, Any]]]] = {}
        self._pods = Reflected(
            "task pods", _slim, api.task_pods, api.watch_task_pods, _nothing, _path
        )
        self._nodes = Reflected(
            "nodes",
            node_of,
            api.nodes,
            api.watch_nodes,
            _nothing,
            lambda of: of["metadata"]["name"],
        )

    def pod(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a pod's JSON; None when the API server says that there is none.

        :raises ClusterError: it had to be asked, and does not answer.
        """
        self._begin()
        found: dict[str, Any] | None = self._pods.get(f"{namespace}/{name}")
        return self._api.pod(namespace, name) if found is None else found

    def node_trouble(self, name: str) -> str:
        """Return why a node does not answer; empty when it does, or nobody has said yet."""
        found: Node | None = self._nodes.get(name)
        if found is not None:
            return found.trouble
        return "" if self._nodes.all() is None else "the node is gone"

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

    def _begin(self) -> None:
        with self._lock:
            if self._runs:
                return
            self._runs = True
        for reflected in (self._pods, self._nodes):
            threading.Thread(
                target=reflected.run, args=(_never,), name="pod-watch", daemon=True
            ).start()


def _name(document: dict[str, Any]) -> str:
    return str(document["metadata"]["name"])


def _path(document: dict[str, Any]) -> str:
    return f"{document['metadata'].get('namespace')}/{document['metadata']['name']}"


def _slim(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out who changed which field when: half of a pod's JSON."""
    document["metadata"].pop("managedFields", None)
    return document


def _never() -> bool:
    return False


def _nothing() -> None:
    pass
