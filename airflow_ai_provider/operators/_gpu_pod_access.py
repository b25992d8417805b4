"""A pod with GPUs as its task reaches it: the cluster, the store, the pod itself."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import generic_api_retry
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_ai_provider.adapters.kubernetes import KubernetesApi
from airflow_ai_provider.core.errors import ClusterError, ClusterUnavailableError
from airflow_ai_provider.core.gpu.nodes import placement_of
from airflow_ai_provider.core.gpu.pod_life import (
    Standing,
    admitted_at,
    is_let_go,
    kueue_says,
    standing_of,
)
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.hooks._cluster import ClusterAccess, cluster_of
from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.operators._gpu import QUEUE_FIELDS
from airflow_ai_provider.operators._gpu_pod_manager import GpuPodManager

if TYPE_CHECKING:
    from kubernetes.client import V1Pod

    from airflow_ai_provider.services.gpu_cluster import ClusterPool

POD_FIELDS = (
    "gpus",
    "gpu_resource",
    "gpu_model",
    "min_gpu_memory",
    "gpu_pool",
    "shared_memory",
    *QUEUE_FIELDS,
    "store_conn_id",
)
_TAIL = 20  # lines of the log that an error has
_GRACE = 30  # seconds that Kubernetes gives a pod to end, unless told otherwise


class PodAccess(KubernetesPodOperator):
    """What leads from a task to its cluster and its pod."""

    store_conn_id: str
    gpu_resource: str
    gpu_pool: str
    kueue_queue: str | None
    priority: int | str | None
    team: str | None
    project: str | None
    phase: str | None
    estimate: float | str | None
    max_wait: float | str | None

    @cached_property
    def hook(self) -> Any:
        """The parent's, which reads a pod again when the API server could not just then."""
        hook = KubernetesPodOperator.hook.func(self)
        hook.get_pod = generic_api_retry(hook.get_pod)
        return hook

    @cached_property
    def pod_manager(self) -> GpuPodManager:
        """The parent's, which also knows of nodes and of pods that were made already."""
        return GpuPodManager(api=self._api, kube_client=self.client, callbacks=self.callbacks)

    @property
    def _api(self) -> KubernetesApi:
        return KubernetesApi(self.hook.api_client)

    @cached_property
    def _cluster(self) -> ClusterPool:
        pool = GpuPoolHook(self.store_conn_id).get_conn()
        return cluster_of(pool, self.hook.api_client, resource=str(self.gpu_resource))

    @property
    def _access(self) -> ClusterAccess:
        self.convert_config_file_to_dict()
        extras: dict[str, Any] | None = None
        if self.kubernetes_conn_id:
            try:
                extras = BaseHook.get_connection(self.kubernetes_conn_id).extra_dejson
            except AirflowNotFoundException:
                self.log.debug("There is no connection %s", self.kubernetes_conn_id)
        return ClusterAccess(
            config_dict=self._config_dict,
            cluster_context=self.cluster_context,
            in_cluster=self.in_cluster,
            connection_extras=extras,
        )

    def _request(self, pod: dict[str, Any], count: Any, *, may_wait: bool = False) -> GpuRequest:
        """Return what is asked for ``count`` devices of a node that ``pod``, as JSON, fits on.

        :raises GpuRequestError: it can mean nothing.
        """
        request = GpuRequest.of(
            gpus=count,
            gpu_pool=self.gpu_pool,
            priority=self.priority_weight if self.priority is None else self.priority,
            team=self.team,
            project=self.project,
            phase=self.phase,
            estimate=self.estimate,
            max_wait=self.max_wait,
        )
        where = placement_of(
            pod,
            cluster=self._cluster.cluster,
            resource=str(self.gpu_resource),
            may_wait=may_wait,
        )
        return replace(request, placement=where)

    def _read(self, pod: V1Pod) -> dict[str, Any] | None:
        """Return the pod's JSON; what may pass is waited out."""
        while True:
            try:
                return self._api.pod(pod.metadata.namespace, pod.metadata.name)
            except ClusterUnavailableError as error:  # noqa: PERF203 - that is what is waited out
                self.log.warning("Looking again: %s", error)
                time.sleep(1.0)

    def _remove(self, pod: V1Pod) -> None:
        """Delete this very pod, whatever ``on_finish_action`` says: another takes its place."""
        document = self._read(pod)
        if document is not None:
            self.patch_already_checked(pod, reraise=False)  # nobody is to find it again
            meta = document["metadata"]
            self._api.delete_pod(meta["namespace"], meta["name"], meta["uid"])
            self._wait_until_gone(pod, meta["uid"])

    def _wait_until_gone(self, pod: V1Pod, uid: str) -> None:
        """Wait a grace period: its devices are not free before, whatever the store says."""
        grace = self.termination_grace_period
        ends = time.monotonic() + (_GRACE if grace is None else grace) + 1
        while time.monotonic() < ends:
            document = self._read(pod)
            if document is None or document["metadata"]["uid"] != uid:
                return
            time.sleep(0.3)

    def _tail(self, pod: V1Pod) -> list[str]:
        try:
            answer = self.client.read_namespaced_pod_log(
                name=pod.metadata.name,
                namespace=pod.metadata.namespace,
                container=self.base_container_name,
                tail_lines=_TAIL,
                _preload_content=False,
                _request_timeout=(5.0, 10.0),
            )
            return str(answer.data.decode(errors="backslashreplace")).splitlines()
        except Exception as error:  # noqa: BLE001 - the log is a help, not the verdict
            self.log.warning("The last lines of its log cannot be read: %s", error)
            return []

    def _explained(self, why: str, pod: V1Pod) -> str:
        """Return ``why`` with what Kueue says of it."""
        if not self.kueue_queue:
            return why
        try:
            return kueue_says(self._api.workloads(pod.metadata.namespace), pod.metadata.name) or why
        except ClusterError as error:
            return f"{why} (nothing is known of its Workload: {error})"

    def _standing(self, pod: dict[str, Any], *, is_first: bool) -> Standing:
        """Return how a pod stands; at the first look also since when, if Kueue let it go."""
        standing, meta = standing_of(pod), pod["metadata"]
        if not is_first or not is_let_go(standing):
            return standing
        try:
            workloads = self._api.workloads(meta["namespace"])
        except ClusterError as error:
            self.log.warning("Since when it may be scheduled is not known: %s", error)
            return standing
        return replace(standing, since=admitted_at(workloads, meta["name"]))
