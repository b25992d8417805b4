"""One watch of a cluster for all that wait in this process, however many they are.

What changes is settled at most a few times a second.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Any

from airflow_ai_provider.core.errors import AirflowAiError
from airflow_ai_provider.core.gpu.cluster import ClusterPod, Node, node_of, pod_of
from airflow_ai_provider.services.gpu_cluster import ClusterPool
from airflow_ai_provider.services.reflected import Reflected

log = logging.getLogger(__name__)

_SETTLE_AGAIN = 20.0  # seconds in quiet: leases may have run out
_SETTLE_APART = 0.2
_LINGER = 5.0  # seconds after the last one left


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
        self._nodes = Reflected("nodes", node_of, api.nodes, api.watch_nodes, self._news.set)
        self._pods = Reflected("pods", self._pod, api.pods, api.watch_pods, self._news.set)

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
