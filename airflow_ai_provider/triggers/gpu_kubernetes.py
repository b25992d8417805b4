"""Waiting for GPU slots of a cluster, and for a pod on them, without a worker."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.triggers.pod import ContainerState, KubernetesPodTrigger
from airflow.triggers.base import TriggerEvent

from airflow_ai_provider.core.errors import AirflowAiError, ClusterUnavailableError
from airflow_ai_provider.core.gpu.pod_life import KUEUE_LABEL, kueue_says
from airflow_ai_provider.hooks._cluster import ClusterAccess, client_of, cluster_of
from airflow_ai_provider.triggers.gpu import GpuLeaseTrigger, _pool_of

if TYPE_CHECKING:
    from airflow_ai_provider.core.gpu.pod_life import Standing
    from airflow_ai_provider.core.gpu.pod_start import Decision
    from airflow_ai_provider.services.gpu import GpuPool
    from airflow_ai_provider.services.gpu_cluster import ClusterPool
    from airflow_ai_provider.services.pod_watch import PodWatch

_ROOM_AGAIN = 3.0  # seconds between two looks at a namespace's quota, which all share
_ROOM_AT_LAST = 300.0  # then the task asks, whatever the quota's status says
_KUEUE_AGAIN, _KUEUE_SOON = 30.0, 5.0
_clusters: dict[tuple[int, str, str, str], ClusterPool] = {}
_opening = threading.Lock()


class GpuClusterTrigger(GpuLeaseTrigger):
    """Wait for devices of a cluster: as ``GpuLeaseTrigger``, while the cluster is watched.

    All triggers of a process share one watch of each cluster: a thousand that wait cost its API
    server what one does.

    :param resource: the resource's name, such as ``nvidia.com/gpu``.
    :param access: how to reach the cluster: see ``hooks._cluster.ClusterAccess``.
    :param parked: why the ticket is out of the queue: a ``reason``, with seconds to ``pause``, or
        the ``namespace`` whose quota must first have room for so many ``gpus``.
    :param carried: what the task wants to have back in the event.
    """

    def __init__(
        self,
        *,
        resource: str,
        access: dict[str, Any],
        parked: dict[str, Any] | None = None,
        carried: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.resource = resource
        self.access = access
        self.parked = parked
        self.carried = carried

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, which Airflow encrypts."""
        _, arguments = super().serialize()
        more = {
            "resource": self.resource,
            "access": self.access,
            "parked": self.parked,
            "carried": self.carried,
        }
        return (
            "airflow_ai_provider.triggers.gpu_kubernetes.GpuClusterTrigger",
            {**arguments, **more},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follow the ticket while the cluster is watched."""
        pool = await self._answering(lambda: _pool_of(self.store_conn_id))
        cluster = await self._cluster(pool)
        if self.parked is not None:
            outcome = "claimable" if await self._unparked(cluster) else "timeout"
            yield self._say(outcome, self.parked["reason"])
            return
        from airflow_ai_provider.services.cluster_watch import cluster_watch

        with await asyncio.to_thread(cluster_watch, cluster):
            async for event in super().run():
                yield event

    async def on_kill(self) -> None:
        """Give the place in the queue up, with a lease that has no pod yet."""
        pool = await _pool_of(self.store_conn_id)
        cluster = await self._cluster(pool)
        reason = "the task was cleared or ended while it waited"
        await asyncio.to_thread(cluster.leases.withdraw, self.ticket, reason=reason)

    async def _cluster(self, pool: GpuPool) -> ClusterPool:
        access = ClusterAccess(**self.access)
        return await asyncio.to_thread(_open, pool, access, self.resource)

    def _say(self, outcome: str, reason: str) -> TriggerEvent:
        event = super()._say(outcome, reason)
        event.payload["carried"] = self.carried
        return event

    async def _unparked(self, cluster: ClusterPool) -> bool:
        """Wait out the pause, or for the namespace's quota; False when the wait is over before."""
        parked, begun = self.parked or {}, time.time()
        pause = max(self.not_before - begun, parked.get("pause", 0.0))
        await asyncio.sleep(max(0.0, pause))
        if "namespace" not in parked:
            return self.deadline is None or time.time() < self.deadline
        while self.deadline is None or time.time() < self.deadline:
            try:
                room = await asyncio.to_thread(cluster.room_in, parked["namespace"])
            except AirflowAiError as error:
                self.log.warning("Looking at the quota again: %s", error)
                room = 0.0
            if room is None or room >= parked["gpus"] or time.time() - begun > _ROOM_AT_LAST:
                return True
            await asyncio.sleep(_ROOM_AGAIN)
        return False


class GpuPodTrigger(KubernetesPodTrigger):
    """Follow a pod that has devices to its start and its end.

    As ``KubernetesPodTrigger``, but time at a gate or in a queue counts for no limit, a pod that
    finds no room goes back (``gpu_outcome`` is ``back``), and a node that is lost is noticed
    (``node_lost``) before its pods are deleted. ``gpu_why`` says more.

    :param leased: whether the pod holds a lease, and so must find room.
    :param node_timeout: how many seconds to wait for a node that an autoscaler is to bring; None
        when it is to bring none. It counts from the cluster's own stamps, and so goes on where it
        was when the triggerer is started anew.
    """

    def __init__(
        self, *, leased: bool = True, node_timeout: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.leased = leased
        self.node_timeout = node_timeout
        self._said: dict[str, Any] = {}
        self._started: float | None = None
        self._kueue_at = 0.0
        self._is_new = True

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments."""
        _, arguments = super().serialize()
        return (
            "airflow_ai_provider.triggers.gpu_kubernetes.GpuPodTrigger",
            {**arguments, "leased": self.leased, "node_timeout": self.node_timeout},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once, as the parent does, with what else is known of the pod."""
        async for event in super().run():
            event.payload.update(self._said)
            if self._started is not None:
                event.payload["gpu_ran"] = time.monotonic() - self._started
            yield event

    async def _wait_for_pod_start(self) -> ContainerState:
        from airflow_ai_provider.core.gpu.pod_start import StartClock, Verdict

        clock = StartClock(
            leased=self.leased,
            schedule_timeout=self.schedule_timeout,
            startup_timeout=self.startup_timeout,
            node_timeout=self.node_timeout,
        )
        said = ""
        while True:
            document = await self._document()
            decision = clock.decide(await self._standing(document), time.time())
            if decision.verdict is Verdict.STARTED:
                self._started = time.monotonic()
                return self.define_pod_container_state(await self._get_pod())
            if decision.verdict is not Verdict.WAIT:
                self._give_up(decision)
            why = await self._explained(decision.why, document)
            if why and why != said:
                self.log.info("Pod %s waits: %s", self.pod_name, why)
                said = why
            await asyncio.sleep(min(1.0, self.startup_check_interval))

    async def _standing(self, document: dict[str, Any] | None) -> Standing | None:
        """Return how the pod stands; since when it may be scheduled is for Kueue to say."""
        from airflow_ai_provider.core.gpu.pod_life import admitted_at, is_let_go, standing_of

        if document is None:
            return None
        is_first, self._is_new = self._is_new, False
        standing = standing_of(document)
        if not is_first or not is_let_go(standing):
            return standing
        watch = await self._watch()
        try:
            workloads = await asyncio.to_thread(watch.workloads, self.pod_namespace)
        except AirflowAiError as error:
            self.log.warning("Since when it may be scheduled is not known: %s", error)
            return standing
        return replace(standing, since=admitted_at(workloads, self.pod_name))

    def _give_up(self, decision: Decision) -> None:
        outcome = "back" if decision.verdict.value == "back" else "failed"
        self._said = {"gpu_outcome": outcome, "gpu_why": decision.why, "status": "timeout"}
        raise ClusterUnavailableError(f"Pod {self.pod_name} did not start: {decision.why}.")

    async def _get_pod(self) -> Any:
        """Return the pod; its node is looked at, too: its silence says nothing of the pod."""
        document = await self._document()
        if document is None:
            self._said = {"gpu_outcome": "gone", "gpu_why": "it is gone", "status": "timeout"}
            raise ClusterUnavailableError(f"Pod {self.pod_name} is gone.")
        node = (document.get("spec") or {}).get("nodeName")
        over = (document.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
        if node and not over:
            watch = await self._watch()
            if trouble := watch.node_trouble(node):
                self._said = {"gpu_outcome": "node_lost", "gpu_why": trouble, "status": "timeout"}
                raise ClusterUnavailableError(f"Node {node} of pod {self.pod_name}: {trouble}.")
        return _model_of(document)

    async def _document(self) -> dict[str, Any] | None:
        """Return the pod's JSON; what may pass is waited out."""
        watch = await self._watch()
        while True:
            try:
                return await asyncio.to_thread(watch.pod, self.pod_namespace, self.pod_name)
            except ClusterUnavailableError as error:  # noqa: PERF203 - that is what is waited out
                self.log.warning("Looking again: %s", error)
                await asyncio.sleep(self.poll_interval)

    async def _explained(self, why: str, document: dict[str, Any] | None) -> str:
        """Return ``why`` with what Kueue says, if it is Kueue that the pod waits for."""
        labels = ((document or {}).get("metadata") or {}).get("labels") or {}
        due = time.monotonic() - self._kueue_at > _KUEUE_AGAIN
        if KUEUE_LABEL not in labels or "gated" not in why:
            return why
        if not due:
            return ""
        self._kueue_at = time.monotonic()
        watch = await self._watch()
        try:
            workloads = await asyncio.to_thread(watch.workloads, self.pod_namespace)
        except AirflowAiError as error:
            return f"{why} (nothing is known of its Workload: {error})"
        found = kueue_says(workloads, self.pod_name)
        if not found:  # its Workload comes a moment after the pod
            self._kueue_at -= _KUEUE_AGAIN - _KUEUE_SOON
        return found or why

    async def _watch(self) -> PodWatch:
        access = ClusterAccess(
            config_dict=self.config_dict,
            cluster_context=self.cluster_context,
            in_cluster=self.in_cluster,
            connection_extras=self.connection_extras,
        )
        return await asyncio.to_thread(_watch_of, access)


def _model_of(document: dict[str, Any]) -> Any:
    """Return a pod's JSON as the client's model, which the parent reads."""
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator

    return PodGenerator.deserialize_model_dict(document)


def _open(pool: GpuPool, access: ClusterAccess, resource: str) -> ClusterPool:
    """Return this process's one pool for a cluster, its resource and its store."""
    key = (os.getpid(), pool.gpu.store.full_url, _text_of(access), resource)
    with _opening:
        if key not in _clusters:
            _clusters[key] = cluster_of(pool, client_of(access), resource=resource)
        return _clusters[key]


def _watch_of(access: ClusterAccess) -> PodWatch:
    """Return this process's one watch of the pods of a cluster."""
    from airflow_ai_provider.adapters.kubernetes_jobs import JobApi
    from airflow_ai_provider.services.pod_watch import PodWatch

    key = (os.getpid(), _text_of(access))
    with _opening:
        if key not in _watches:
            _watches[key] = PodWatch(JobApi(client_of(access)))
        return _watches[key]


def _text_of(access: ClusterAccess) -> str:
    return json.dumps(access.document, sort_keys=True, default=str)


_watches: dict[tuple[int, str], PodWatch] = {}
