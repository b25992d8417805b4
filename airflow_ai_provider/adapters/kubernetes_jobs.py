"""Jobs of a cluster and their pods, as far as a lease for all of them needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ai_provider.adapters.kubernetes import KubernetesApi
from airflow_ai_provider.core.errors import ClusterGoneError
from airflow_ai_provider.core.gpu.cluster import LEASE_ANNOTATION

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

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


def is_over(job: dict[str, Any] | None) -> bool:
    """Whether a Job has ended, or is gone."""
    conditions = ((job or {}).get("status") or {}).get("conditions") or ()
    said = {c["type"] for c in conditions if c["status"] == "True"}
    return job is None or bool(said & {"Complete", "Failed"})


def _only(spec: dict[str, Any], node: str) -> dict[str, Any]:
    """Return the pod's affinity with ``node`` in each term: a gated pod's may only get narrower."""
    affinity = dict(spec.get("affinity") or {})
    wish = "requiredDuringSchedulingIgnoredDuringExecution"
    of_nodes = dict(affinity.get("nodeAffinity") or {})
    terms = (of_nodes.get(wish) or {}).get("nodeSelectorTerms") or [{}]
    here = {"key": "metadata.name", "operator": "In", "values": [node]}
    narrowed = [{**term, "matchFields": [*(term.get("matchFields") or ()), here]} for term in terms]
    return {**affinity, "nodeAffinity": {**of_nodes, wish: {"nodeSelectorTerms": narrowed}}}
