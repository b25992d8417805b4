"""The pods of one Job and their leases: built alike, let go one by one."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.adapters.kubernetes_jobs import GATE, JobApi
from airflow_ai_provider.core.errors import PodEndedError
from airflow_ai_provider.core.gpu.cluster import LEASE_ANNOTATION
from airflow_ai_provider.core.gpu.job_life import index_of
from airflow_ai_provider.core.gpu.pod_life import KUEUE_LABEL, EndKind, ending_of
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.operators._gpu_pod import (
    add_gpus,
    card_expressions,
    gpus_of,
    require,
    share_memory,
)

if TYPE_CHECKING:
    from kubernetes.client import V1Job, V1Pod, V1PodTemplateSpec

    from airflow_ai_provider.core.gpu.lease import LeaseRecord
    from airflow_ai_provider.operators.gpu_job import GpuKubernetesJobOperator
    from airflow_ai_provider.services.gpu_cluster import ClusterPool

LABEL = "airflow-ai/distributed"  # what the headless Service selects by
_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
_LONGEST = 55  # a pod's host name is the Job's with its index, and has 63 at most
_AGAIN = 0.5


def make_distributed(job: V1Job, asked: GpuKubernetesJobOperator) -> V1Job:
    """Give each pod of ``job`` its GPUs, our gate, and what it needs to find the others.

    With a queue of Kueue the Job is made suspended, and its pods have no gate of ours.
    """
    template, container = job.spec.template, asked.base_container_name
    resource = str(asked.gpu_resource)
    wanted = None if asked.gpus is None else GpuRequest.of(gpus=asked.gpus).gpus
    count = gpus_of(template, container, resource, wanted)
    add_gpus(template, container, resource, count)
    cards = card_expressions(resource, model=asked.gpu_model, min_memory=asked.min_gpu_memory)
    require(template, cards)
    share_memory(template, container, asked.shared_memory)
    template.spec.subdomain = template.spec.subdomain or asked.subdomain
    template.metadata.labels = {**(template.metadata.labels or {}), LABEL: "true"}
    job.metadata.labels = {**template.metadata.labels, **(job.metadata.labels or {})}
    job.metadata.name = _short(job.metadata.name)
    if asked.kueue_queue:
        job.metadata.labels[KUEUE_LABEL] = asked.kueue_queue
        job.spec.suspend = True
    else:
        _gate(template)
    _tell_of_each_other(job, asked, count)
    return job


def job_at(namespace: str, name: str) -> V1Job:
    """Return what names a Job that is there."""
    from kubernetes.client import V1Job, V1ObjectMeta

    return V1Job(metadata=V1ObjectMeta(namespace=namespace, name=name))


def _gate(template: V1PodTemplateSpec) -> None:
    from kubernetes.client import V1PodSchedulingGate

    gates = template.spec.scheduling_gates or []
    template.spec.scheduling_gates = [*gates, V1PodSchedulingGate(name=GATE)]


def _short(name: str) -> str:
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _tell_of_each_other(job: V1Job, asked: GpuKubernetesJobOperator, gpus: int) -> None:
    from kubernetes.client import V1EnvVar, V1EnvVarSource, V1ObjectFieldSelector

    spec = job.spec.template.spec
    base = next((c for c in spec.containers if c.name == asked.base_container_name), None)
    base = base or spec.containers[0]
    rank = V1EnvVarSource(field_ref=V1ObjectFieldSelector(field_path=_INDEX))
    told = [
        V1EnvVar(name="MASTER_ADDR", value=f"{job.metadata.name}-0.{spec.subdomain}"),
        V1EnvVar(name="MASTER_PORT", value=str(asked.master_port)),
        V1EnvVar(name="NNODES", value=str(asked.workers)),
        V1EnvVar(name="NODE_RANK", value_from=rank),
        V1EnvVar(name="GPUS_PER_NODE", value=str(gpus)),
    ]
    given = {variable.name for variable in base.env or ()}
    base.env = [*(base.env or []), *(v for v in told if v.name not in given)]


class Gang:
    """The pods of one Job, as they come."""

    def __init__(
        self,
        api: JobApi,
        cluster: ClusterPool,
        namespace: str,
        job: str,
        *,
        log: logging.Logger | Any,
    ) -> None:
        self.api = api
        self.cluster = cluster
        self.namespace = namespace
        self.job = job
        self.log = log

    def admit(self, leases: Sequence[LeaseRecord], *, within: float) -> None:
        """Hand each pod its lease and let it go, as the Job's controller makes them.

        :raises LeaseLostError: a lease is no longer ours.
        :raises PodEndedError: the pods are not made in time.
        """
        left = list(leases)
        ends = time.monotonic() + within
        while left:
            for pod in self._look():
                if left and _is_gated(pod):
                    record = left.pop(0)
                    meta = pod["metadata"]
                    path = f"{meta['namespace']}/{meta['name']}/{meta['uid']}"
                    self.cluster.leases.hold(record, path)
                    facts = self.cluster.leases.node_of(record)
                    node = "" if facts is None else facts.name
                    self.api.admit(pod, mark=record.mark, node=node)
                    self.log.info("Pod %s has lease %s of node %s", path, record.mark, node)
            if left and time.monotonic() > ends:
                raise self._not_started(f"{len(left)} of its pods were not made in {within:g} s")
            time.sleep(_AGAIN if left else 0)

    def _look(self) -> list[dict[str, Any]]:
        return sorted(self.api.job_pods(self.namespace, self.job), key=index_of)

    def _not_started(self, why: str) -> PodEndedError:
        return PodEndedError(
            f"Job {self.job} did not start: {why}.",
            remedy="Look at the events of the Job and of its pods; a retry asks for devices again.",
            kind=EndKind.NOT_STARTED.value,
        )


def first_failure(
    pods: Iterable[V1Pod],
    *,
    read: Callable[[V1Pod], dict[str, Any] | None],
    tail: Callable[[V1Pod], list[str]],
    container: str,
) -> str:
    """Return how the first of the pods failed by itself, with the last lines of its log."""
    for pod in pods:
        document = read(pod)
        if document is None or document["status"].get("phase") != "Failed":
            continue
        ending = ending_of(document, container=container, node_trouble="")
        lines = "\nThe last lines of its log:\n" + "\n".join(tail(pod))
        return ending.sentence + lines
    return ""


def _is_gated(pod: dict[str, Any]) -> bool:
    gates = pod["spec"].get("schedulingGates") or ()
    annotations = pod["metadata"].get("annotations") or {}
    return (
        any(gate["name"] == GATE for gate in gates)
        and LEASE_ANNOTATION not in annotations
        and not pod["metadata"].get("deletionTimestamp")
    )
