"""One watch of a cluster for all that wait in this process, however many they are.

What changes is settled at most a few times a second.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

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
        self._lock = threading.Lock()
        self._users = 0
        self._run: _Run | None = None
        self._left_at = 0.0

    def __enter__(self) -> ClusterWatch:
        with self._lock:
            self._users += 1
            if self._run is None or self._run.is_stopped:
                self._run = _Run(self._cluster, self._is_idle)
                self._run.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            self._left_at = time.monotonic()

    def _is_idle(self) -> bool:
        """Whether nobody waits any more; who asks next begins anew."""
        with self._lock:
            idle = not self._users and time.monotonic() - self._left_at > _LINGER
            if idle and self._run is not None:
                self._run.stop()
                _watches.pop(_key(self._cluster), None)
            return idle


class _Run:
    """Two watches, and what follows of them, from their beginning to their end."""

    def __init__(self, cluster: ClusterPool, is_idle: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._is_idle = is_idle
        self._news = threading.Event()
        api, told = cluster.api, self._news.set
        where = api.address
        self._nodes = Reflected("nodes", where, node_of, api.nodes, api.watch_nodes, told)
        self._pods = Reflected("pods", where, pod_of, api.pods, api.watch_pods, told)

    @property
    def is_stopped(self) -> bool:
        return self._nodes.is_stopped or self._pods.is_stopped

    def stop(self) -> None:
        self._nodes.is_stopped = self._pods.is_stopped = True

    def start(self) -> None:
        for work in (
            lambda: self._nodes.run(self._is_over),
            lambda: self._pods.run(self._is_over),
            self._settle,
        ):
            threading.Thread(target=work, name="cluster-watch", daemon=True).start()

    def _is_over(self) -> bool:
        return self.is_stopped or self._is_idle()

    def _settle(self) -> None:
        news_by = time.monotonic() + _SETTLE_AGAIN
        while not self._is_over():
            if not self._news.wait(1.0) and time.monotonic() < news_by:
                continue
            self._news.clear()
            news_by = time.monotonic() + _SETTLE_AGAIN
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
