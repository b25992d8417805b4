"""The parent's pod manager, which also knows lost nodes, and pods that were made already."""

from __future__ import annotations

import copy
import json
import time
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import generic_api_retry
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodLogsConsumer, PodManager
from kubernetes.client import ApiClient, CoreV1Api
from kubernetes.client.exceptions import ApiException

from airflow_ai_provider.adapters.kubernetes_refusals import refuse, refused_stream
from airflow_ai_provider.core.errors import ClusterForbiddenError, PodEndedError
from airflow_ai_provider.core.gpu.cluster import LEASE_ANNOTATION
from airflow_ai_provider.core.gpu.pod_life import EndKind

if TYPE_CHECKING:
    from kubernetes.client import V1Pod

    from airflow_ai_provider.adapters.kubernetes import KubernetesApi

_NODE_AGAIN = 10.0
_READ = (5.0, 10.0)  # seconds to connect and to hear something: a log of a lost node says nothing
_AGAIN = (0.5, 1.0, 2.0, 4.0)
_PASSING = {429, 500, 502, 503, 504}


class GpuPodManager(PodManager):
    """Follows one pod; ``api`` is asked about its node while ``follows`` is set."""

    def __init__(self, *, api: KubernetesApi, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.api = api
        self.follows = False
        self.created: V1Pod | None = None
        self.refused: ClusterForbiddenError | None = None  # a right that was found to lack
        self._node_at = -_NODE_AGAIN

    def create_pod(self, pod: V1Pod) -> V1Pod:
        """Make the pod, once: an answer that was lost is no reason for a second one.

        :raises ClusterError: the API server refuses; its kind says how.
        """
        try:
            self.created = self._create(pod)
        except ApiException as error:
            refuse(error)
        return self.created

    @generic_api_retry  # type: ignore[untyped-decorator]
    def _create(self, pod: V1Pod) -> V1Pod:
        try:
            return self.run_pod_async(pod)
        except ApiException as error:
            if error.status == 409 and _reason(error) == "AlreadyExists":
                there = self._client.read_namespaced_pod(pod.metadata.name, pod.metadata.namespace)
                if _is_same(there, pod):
                    self.log.info("Pod %s is there already: it is ours", pod.metadata.name)
                    return there
            raise

    def read_pod(self, pod: V1Pod) -> V1Pod:
        """Read the pod, and now and then its node.

        :raises PodEndedError: the node does not answer.
        """
        found = super().read_pod(pod)
        due = time.monotonic() - self._node_at > _NODE_AGAIN
        over = found.status.phase in {"Succeeded", "Failed"}
        if self.follows and due and found.spec.node_name and not over:
            self._node_at = time.monotonic()
            trouble = node_trouble(self.api, found.spec.node_name)
            if trouble:
                raise PodEndedError(
                    f"Pod {pod.metadata.name} is lost with node {found.spec.node_name}: {trouble}.",
                    kind=EndKind.NODE_LOST.value,
                )
        return found

    def read_pod_logs(self, pod: V1Pod, container_name: str, **kwargs: Any) -> PodLogsConsumer:
        """Read the log, and come back in time to see what became of the pod.

        The log of a lost node hangs before its first byte: to try that again at once, as the
        parent does, is to wait for minutes.
        """
        if not self.follows:
            return super().read_pod_logs(pod, container_name, **kwargs)
        wanted = ("follow", "timestamps", "since_seconds", "tail_lines")
        answer = self._read_log(
            name=pod.metadata.name,
            namespace=pod.metadata.namespace,
            container=container_name,
            _preload_content=False,
            _request_timeout=_READ,
            **{name: kwargs[name] for name in wanted if kwargs.get(name) is not None},
        )
        return PodLogsConsumer(
            response=answer,
            pod=pod,
            pod_manager=self,
            container_name=container_name,
            post_termination_timeout=kwargs.get("post_termination_timeout", 120),
        )

    def _read_log(self, **asked: Any) -> Any:
        for pause in _AGAIN:
            try:
                return self._patient.read_namespaced_pod_log(**asked)
            except ApiException as error:  # noqa: PERF203 - that is what is waited out
                if error.status == 403:
                    self._refuse(error)
                if error.status not in _PASSING:
                    raise
                self.log.warning("Reading the log again in %g s: %s", pause, error.reason)
                time.sleep(pause)
        return self._patient.read_namespaced_pod_log(**asked)

    def extract_xcom(self, pod: V1Pod, **given: Any) -> str:
        """Read the result and end the sidecar.

        :raises ClusterForbiddenError: the token may not open a stream into the pod.
        """
        try:
            return str(super().extract_xcom(pod, **given))
        except (ApiException, AttributeError) as error:
            if (refused := refused_stream(error)) is not None:
                self.refused = refused
                raise refused from error
            raise

    def _refuse(self, error: ApiException) -> NoReturn:
        try:
            refuse(error)
        except ClusterForbiddenError as refused:
            self.refused = refused
            raise

    @cached_property
    def _patient(self) -> CoreV1Api:
        """A client that does not itself try again."""
        configuration = copy.copy(self._client.api_client.configuration)
        configuration.retries = False
        return CoreV1Api(ApiClient(configuration))


def node_trouble(api: KubernetesApi, name: str) -> str:
    """Return why a node does not answer; empty when it does, or when nobody can say."""
    from airflow_ai_provider.core.errors import ClusterError
    from airflow_ai_provider.core.gpu.cluster import node_of

    try:
        document = api.node(name)
    except ClusterError:
        return ""
    return "the node is gone" if document is None else node_of(document).trouble


def _reason(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "{}").get("reason"))
    except ValueError:
        return ""


def _is_same(there: V1Pod, asked: V1Pod) -> bool:
    """Whether ``there`` was made from ``asked``: by the lease, or by the task that it names."""
    mark = (asked.metadata.annotations or {}).get(LEASE_ANNOTATION)
    if mark is not None:
        return bool((there.metadata.annotations or {}).get(LEASE_ANNOTATION) == mark)
    labels = asked.metadata.labels or {}
    found = there.metadata.labels or {}
    names = ("dag_id", "task_id", "run_id", "map_index", "try_number")
    return all(found.get(name) == labels.get(name) for name in names) and "run_id" in labels


def ran_for(pod: V1Pod) -> float:
    """Return for how many seconds a pod's longest container ran, as far as its status tells."""
    spans = [0.0]
    for status in (pod.status and pod.status.container_statuses) or ():
        running, ended = status.state.running, status.state.terminated
        if ended and ended.started_at and ended.finished_at:
            spans.append((ended.finished_at - ended.started_at).total_seconds())
        elif running and running.started_at:
            now = datetime.now(running.started_at.tzinfo)
            spans.append((now - running.started_at).total_seconds())
    return max(spans)
