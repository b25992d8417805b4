"""Jobs of a cluster and their pods: made once, found, followed, let go, deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.adapters.kubernetes import KubernetesApi, Listed
from airflow_ai_provider.core.errors import (
    ClusterError,
    ClusterGoneError,
    ClusterUnavailableError,
)
from airflow_ai_provider.core.gpu.cluster import LEASE_ANNOTATION, node_of

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_AGAIN = (0.5, 1.0, 2.0, 4.0)  # seconds before each further try
_OF_TASKS = "kubernetes_pod_operator=True"
GATE = "airflow-ai/lease"  # a pod that has it is not scheduled: it waits to be told its node


class JobApi(KubernetesApi):
    """One cluster with its Jobs."""

    def __init__(self, api_client: ApiClient) -> None:
        from kubernetes.client import BatchV1Api

        super().__init__(api_client)
        self._batch = BatchV1Api(api_client)

    def jobs(self, namespace: str, labels: str) -> list[dict[str, Any]]:
        """Return the Jobs of a namespace with these labels."""
        found = self._list(self._batch.list_namespaced_job, namespace, label_selector=labels)
        return found[0]

    def job(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a Job; None when there is none."""
        try:
            return self._ask(self._batch.read_namespaced_job, name, namespace)
        except ClusterGoneError:
            return None

    def task_jobs(self, namespace: str) -> Listed:
        """Return the Jobs of a namespace that tasks of Airflow made."""
        listing = self._batch.list_namespaced_job
        return self._list(listing, namespace, label_selector=_OF_TASKS)

    def watch_task_jobs(
        self, namespace: str, version: str, seconds: int
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Return what happens to the Jobs of tasks in a namespace after ``version``."""
        listing = self._batch.list_namespaced_job
        return self._watch(listing, version, seconds, namespace=namespace, label_selector=_OF_TASKS)

    def create_job(self, job: dict[str, Any]) -> dict[str, Any]:
        """Make a Job, once: an answer that was lost is no reason for a second one.

        :raises ClusterError: the API server refuses; its kind says how.
        """
        meta = job["metadata"]
        for pause in (*_AGAIN, None):
            try:
                return self._ask_once(self._batch.create_namespaced_job, meta["namespace"], job)
            except ClusterUnavailableError:  # noqa: PERF203 - that is what is waited out
                there = self.job(meta["namespace"], meta["name"])
                if there is not None:
                    return _same(there, job)
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def node_trouble(self, name: str) -> str:
        """Return why a node does not answer; empty when it does, or when nobody can say."""
        try:
            document = self.node(name)
        except ClusterError:
            return ""
        return "the node is gone" if document is None else node_of(document).trouble

    def delete_job(self, namespace: str, name: str) -> None:
        """Delete a Job and its pods; that it is gone is fine."""
        try:
            self._ask(
                self._batch.delete_namespaced_job, name, namespace, propagation_policy="Background"
            )
        except ClusterGoneError:
            return

    def job_pods(self, namespace: str, name: str) -> list[dict[str, Any]]:
        """Return the pods that a Job has now."""
        labels = f"batch.kubernetes.io/job-name={name}"
        return self._list(self._core.list_namespaced_pod, namespace, label_selector=labels)[0]

    def admit(self, pod: dict[str, Any], *, mark: str, node: str) -> None:
        """Let a gated pod go to ``node`` and nowhere else, with the mark of its lease.

        In one change: there is no moment in which it may go elsewhere.
        """
        meta, spec = pod["metadata"], pod["spec"]
        gates = [gate for gate in spec.get("schedulingGates") or () if gate["name"] != GATE]
        change = {
            "metadata": {"annotations": {LEASE_ANNOTATION: mark}},
            "spec": {"schedulingGates": gates or None, "affinity": _only(spec, node)},
        }
        self._ask(
            self._core.patch_namespaced_pod,
            meta["name"],
            meta["namespace"],
            body=change,
            _content_type="application/merge-patch+json",
        )


def _same(there: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Return the Job that is there, if it is the one that was asked for."""
    labels, wanted = (job["metadata"].get("labels") or {} for job in (there, asked))
    if any(labels.get(name) != value for name, value in wanted.items()):
        name = asked["metadata"]["name"]
        raise ClusterError(
            f"There is another Job of the name {name}.", remedy="Give it another name."
        )
    return there


def _only(spec: dict[str, Any], node: str) -> dict[str, Any]:
    """Return the pod's affinity with ``node`` in each term: a gated pod's may only get narrower."""
    affinity = dict(spec.get("affinity") or {})
    wish = "requiredDuringSchedulingIgnoredDuringExecution"
    of_nodes = dict(affinity.get("nodeAffinity") or {})
    terms = (of_nodes.get(wish) or {}).get("nodeSelectorTerms") or [{}]
    here = {"key": "metadata.name", "operator": "In", "values": [node]}
    narrowed = [{**term, "matchFields": [*(term.get("matchFields") or ()), here]} for term in terms]
    return {**affinity, "nodeAffinity": {**of_nodes, wish: {"nodeSelectorTerms": narrowed}}}
