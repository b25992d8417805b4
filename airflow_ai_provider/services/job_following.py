"""Following a Job of several pods to its end, whoever looks: a worker or the triggerer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from airflow_ai_provider.core.errors import ClusterError, ClusterGoneError
from airflow_ai_provider.core.gpu.job_life import (
    JobClock,
    JobDecision,
    JobVerdict,
    failure_of,
    index_of,
)
from airflow_ai_provider.core.gpu.pod_life import kueue_says

_SIDECAR = "airflow-xcom-sidecar"


class JobSource(Protocol):
    """Where one looks: ``adapters.kubernetes_jobs.JobApi``, or a watch that many share."""

    def job(self, namespace: str, name: str) -> dict[str, Any] | None: ...

    def job_pods(self, namespace: str, name: str) -> list[dict[str, Any]]: ...

    def workloads(self, namespace: str) -> list[dict[str, Any]]: ...

    def node_trouble(self, name: str) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Followed:
    """Which Job, and in what time its pods must start."""

    namespace: str
    name: str
    workers: int
    container: str
    schedule_timeout: float
    startup_timeout: float
    wants_results: bool


class JobFollower:
    """Looks at one Job; ``collect`` reads the result of a pod and lets it end.

    It raises ``ClusterGoneError`` when the pod is gone by then.
    """

    def __init__(
        self, of: Followed, source: JobSource, collect: Callable[[dict[str, Any]], str]
    ) -> None:
        self.of = of
        self._source = source
        self._collect = collect
        self._clock = JobClock(
            workers=of.workers,
            schedule_timeout=of.schedule_timeout,
            startup_timeout=of.startup_timeout,
        )
        self._job: dict[str, Any] | None = None
        self._pods: list[dict[str, Any]] = []
        self._results: dict[int, str] = {}

    def look(self, now: float) -> JobDecision:
        """Return how the Job stands.

        :raises ClusterError: the cluster does not answer, or not to us.
        """
        namespace, name = self.of.namespace, self.of.name
        job = self._source.job(namespace, name)
        pods = [] if job is None else self._source.job_pods(namespace, name)
        decision = self._clock.decide(job, pods, now)
        self._job, self._pods = job or self._job, pods or self._pods
        if decision.verdict is JobVerdict.QUEUED:
            return replace(decision, why=self._queued(decision.why))
        if decision.verdict is JobVerdict.PREEMPTED:
            self._results.clear()  # it begins anew
        if decision.verdict in {JobVerdict.STARTING, JobVerdict.RUNNING}:
            if lost := self._lost(pods):
                return replace(decision, verdict=JobVerdict.FAILED, why=lost)
            if self.of.wants_results:
                self._take_results(pods)
        return decision

    def document(self, decision: JobDecision) -> dict[str, Any]:
        """Return what a task is told, in the form of the event of ``KubernetesJobTrigger``."""
        failure = failure_of(self._job) if self._job else ""
        is_well = decision.verdict is JobVerdict.ENDED and not failure
        pods = sorted(self._pods, key=index_of)
        return {
            "name": self.of.name,
            "namespace": self.of.namespace,
            "pod_names": [pod["metadata"]["name"] for pod in pods],
            "pod_namespace": self.of.namespace,
            "status": "success" if is_well else "error",
            "message": f"Job failed with error: {failure}" if failure else decision.why,
            "job": self._job,
            "xcom_result": [self._results[n] for n in sorted(self._results)],
            "gpu_outcome": decision.verdict.value,
            "gpu_why": decision.why,
            "gpu_ran": decision.ran,
        }

    def _queued(self, why: str) -> str:
        try:
            workloads = self._source.workloads(self.of.namespace)
        except ClusterError as error:
            return f"{why} (nothing is known of its Workload: {error})"
        return kueue_says(workloads, self.of.name, kind="Job") or why

    def _lost(self, pods: list[dict[str, Any]]) -> str:
        """Return which pod is lost with its node, before its pods are deleted for it."""
        for pod in pods:
            node = pod["spec"].get("nodeName")
            if node and (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}:
                trouble = self._source.node_trouble(node)
                if trouble:
                    name = pod["metadata"]["name"]
                    return f"pod {name} is lost with node {node}: {trouble}"
        return ""

    def _take_results(self, pods: list[dict[str, Any]]) -> None:
        for pod in pods:
            if index_of(pod) not in self._results and self._waits_for_us(pod):
                with suppress(ClusterGoneError):  # taken away since it was seen
                    self._results[index_of(pod)] = self._collect(pod)

    def _waits_for_us(self, pod: dict[str, Any]) -> bool:
        """Whether a pod has done its work, and its sidecar holds the result."""
        states = {
            status["name"]: status.get("state") or {}
            for status in (pod.get("status") or {}).get("containerStatuses") or ()
        }
        is_done = "terminated" in states.get(self.of.container, {})
        return (
            is_done
            and "running" in states.get(_SIDECAR, {})
            and not pod["metadata"].get("deletionTimestamp")
        )
