"""One watch of a cluster for all that wait in this process, however many they are.

Nodes and pods are listed once and then watched; a watch that breaks off goes on from where it was,
one that is told 410 Gone lists again. What changes is settled at most a few times a second.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from airflow_ai_provider.core.errors import AirflowAiError, ClusterGoneError
from airflow_ai_provider.core.gpu.cluster import ClusterPod, Node, node_of, pod_of
from airflow_ai_provider.services.gpu_cluster import ClusterPool

log = logging.getLogger(__name__)

_WATCH_FOR = 300  # seconds that the API server keeps a watch open
_SETTLE_AGAIN = 20.0  # seconds in quiet: leases may have run out
_SETTLE_APART = 0.2
_RETRY, _RETRY_MOST = 0.5, 15.0
_LINGER = 5.0  # seconds after the last one left

Events = Iterable[tuple[str, dict[str, Any]]]


class _Reflected:
    """A copy of the objects of one resource, kept up by a thread of its own."""

    def __init__(
        self,
        name: str,
        read: Callable[[dict[str, Any]], Any],
        lists: Callable[[], tuple[list[dict[str, Any]], str]],
        watches: Callable[[str, int], Events],
        changed: Callable[[], None],
    ) -> None:
        self.name = name
        self._read, self._lists, self._watches = read, lists, watches
        self._changed = changed
        self._lock = threading.Lock()
        self._found: dict[str, Any] | None = None

    def all(self) -> list[Any] | None:
        """Return what is there; None before the first list."""
        with self._lock:
            return None if self._found is None else list(self._found.values())

    def run(self, is_over: Callable[[], bool]) -> None:
        version, pause = "", _RETRY
        while not is_over():
            try:
                if not version:
                    version = self._list()
                for what, document in self._watches(version, _WATCH_FOR):
                    version = document["metadata"]["resourceVersion"]
                    self._apply(what, document)
                    pause = _RETRY
                    if is_over():
                        return
            except ClusterGoneError:  # noqa: PERF203 - a watch lasts minutes
                version = ""
            except AirflowAiError as error:
                log.warning("Looking at %s again in %.1f s: %s", self.name, pause, error)
                # a thousand processes must not come back at once
                time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                pause = min(_RETRY_MOST, pause * 2)

    def _list(self) -> str:
        items, version = self._lists()
        with self._lock:
            self._found = {item["metadata"]["uid"]: self._read(item) for item in items}
        self._changed()
        return version

    def _apply(self, what: str, document: dict[str, Any]) -> None:
        uid = document["metadata"]["uid"]
        if what == "BOOKMARK":
            return
        new = None if what == "DELETED" else self._read(document)
        with self._lock:
            found = self._found if self._found is not None else {}
            if found.get(uid) == new:
                return  # heartbeats of nodes and the like
            if new is None:
                found.pop(uid, None)
            else:
                found[uid] = new
            self._found = found
        self._changed()


class ClusterWatch:
    """Keeps what the store knows of a cluster up to date while somebody here waits."""

    def __init__(self, cluster: ClusterPool) -> None:
        self._cluster = cluster
        self._news = threading.Event()
        self._lock = threading.Lock()
        self._users = 0
        self._running = False
        self._left_at = 0.0
        api = cluster.api
        self._nodes = _Reflected("nodes", node_of, api.nodes, api.watch_nodes, self._news.set)
        self._pods = _Reflected("pods", self._pod, api.pods, api.watch_pods, self._news.set)

    def __enter__(self) -> ClusterWatch:
        with self._lock:
            self._users += 1
            if not self._running:
                self._running = True
                for work in (
                    lambda: self._nodes.run(self._is_over),
                    lambda: self._pods.run(self._is_over),
                    self._settle,
                ):
                    threading.Thread(target=work, name="cluster-watch", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            self._left_at = time.monotonic()

    def _pod(self, document: dict[str, Any]) -> ClusterPod:
        return pod_of(document)

    def _is_over(self) -> bool:
        with self._lock:
            over = not self._users and time.monotonic() - self._left_at > _LINGER
            if over:
                self._running = False
                _watches.pop(_key(self._cluster), None)
            return over

    def _settle(self) -> None:
        while not self._is_over():
            self._news.wait(_SETTLE_AGAIN if self._users else 1.0)
            self._news.clear()
            try:
                before = self._cluster.leases.leases(self._cluster.cluster)
                nodes: list[Node] | None = self._nodes.all()
                pods: list[ClusterPod] | None = self._pods.all()
                if nodes is not None and pods is not None:
                    self._cluster.settle(nodes, pods, before)
            except AirflowAiError as error:
                log.warning("The devices of %s are as they were: %s", self._cluster.resource, error)
            time.sleep(_SETTLE_APART)


def cluster_watch(cluster: ClusterPool) -> ClusterWatch:
    """Return this process's watch of a cluster; it runs while it is entered."""
    with _watches_lock:
        return _watches.setdefault(_key(cluster), ClusterWatch(cluster))


def _key(cluster: ClusterPool) -> tuple[int, str, str, str]:
    return (
        os.getpid(),
        cluster.pool.gpu.store.full_url,
        cluster.identity,
        cluster.resource,
    )


_watches: dict[tuple[int, str, str, str], ClusterWatch] = {}
_watches_lock = threading.Lock()
