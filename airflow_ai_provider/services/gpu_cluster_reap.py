"""Clear up on a cluster: leases whose pods are gone, and pods of ours that no task owns."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from airflow_ai_provider.core.errors import AirflowAiError, ClusterError
from airflow_ai_provider.core.gpu.cluster import ClusterPod, Node, node_of, pod_of
from airflow_ai_provider.core.gpu.lease import LeaseRecord, TaskIdentity, parse_mark
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.services.doctor_checks import Check
from airflow_ai_provider.services.gpu_cluster import ClusterPool

_OVER = {"success", "failed", "upstream_failed", "skipped", "removed"}
_AGAIN = 1.0


class OwnersPort(Protocol):
    """Where one asks what became of a task."""

    def state(self, task: TaskIdentity) -> str | None:
        """Return the state of the task instance, empty for none yet; None when there is no such."""
        ...


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """A pod that no task waits for, or of which nobody can say it."""

    pod: str
    why: str


@dataclass(frozen=True, kw_only=True)
class ClusterReaped:
    """What came of it: leases that were released, pods that were deleted, and what is left."""

    released: tuple[LeaseRecord, ...]
    deleted: tuple[Orphan, ...]
    remaining: tuple[LeaseRecord, ...]  # in doubt: their pods are not gone yet
    unknown: tuple[Orphan, ...]

    @property
    def document(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "released": [record.id for record in self.released],
            "deleted": [asdict(orphan) for orphan in self.deleted],
            "remaining": [
                {
                    "id": record.id,
                    "fence": record.fence,
                    "task": record.task.describe(),
                    "state": record.state.value,
                    "devices": list(record.devices),
                    "reason": record.reason,
                }
                for record in self.remaining
            ],
            "unknown": [asdict(orphan) for orphan in self.unknown],
        }


def reap_cluster(
    cluster: ClusterPool,
    owners: OwnersPort | None,
    *,
    timeout: float = 30.0,
    pause: Callable[[float], None] = time.sleep,
) -> ClusterReaped:
    """Release leases whose pods are gone, and delete pods that no task owns.

    Without ``owners`` only pods are deleted whose leases have ended. A pod is deleted when its task
    instance has ended, or is unknown to the Airflow whose store has its lease; never because
    nobody could be asked.

    :raises ClusterError: the cluster does not answer, or not to us.
    """
    before = {record.id: record for record in cluster.leases.leases(cluster.cluster)}
    deleted, unknown = [], []
    for pod in pods_of(cluster):
        why, is_sure = _why_orphan(cluster, pod, owners)
        if why and is_sure:
            cluster.api.delete_pod(pod.namespace, pod.name, pod.uid)
            deleted.append(Orphan(pod=f"{pod.namespace}/{pod.name}", why=why))
        elif why:
            unknown.append(Orphan(pod=f"{pod.namespace}/{pod.name}", why=why))
    end = time.monotonic() + timeout
    while True:
        cluster.look(checked=False)
        left = {record.id: record for record in cluster.leases.leases(cluster.cluster)}
        doubtful = [r for r in left.values() if r.state is LeaseState.SUSPECT]
        if not doubtful or time.monotonic() >= end:
            break
        pause(_AGAIN)
    return ClusterReaped(
        released=tuple(record for name, record in before.items() if name not in left),
        deleted=tuple(deleted),
        remaining=tuple(doubtful),
        unknown=tuple(unknown),
    )


def pods_of(cluster: ClusterPool) -> list[ClusterPod]:
    """Return the pods of ours in a cluster that have not ended and are not on their way out."""
    pods = map(pod_of, cluster.api.pods()[0])
    return [p for p in pods if (p.mark or p.owner) and not p.deleting and not p.is_over]


def _why_orphan(
    cluster: ClusterPool, pod: ClusterPod, owners: OwnersPort | None
) -> tuple[str, bool]:
    """Return why nobody waits for a pod, and whether that is sure; empty when somebody does."""
    mark = parse_mark(pod.mark)
    if mark is not None and cluster.leases.ended([mark]):
        return "its lease has ended", True
    is_ours = mark is not None and cluster.leases.lease_of(mark) is not None
    if mark is not None and not is_ours:
        return "its lease is of no store that is known here", False
    task = _task_of(pod)
    if task is None or owners is None:
        return "", False
    try:
        state = owners.state(task)
    except AirflowAiError as error:
        return f"Airflow does not say what became of {task.describe()}: {error.message}", False
    if state is None:
        # of a pod without a lease nobody knows which Airflow made it
        return f"Airflow knows no {task.describe()}", is_ours
    return (f"{task.describe()} is {state}", True) if state in _OVER else ("", False)


def _task_of(pod: ClusterPod) -> TaskIdentity | None:
    try:
        return TaskIdentity(**json.loads(pod.owner or "null"))
    except (TypeError, ValueError):
        return None


def examine_cluster(cluster: ClusterPool) -> Iterator[Check]:
    """Yield what a look at the cluster finds; it changes nothing."""
    try:
        name = cluster.cluster
        nodes = [node_of(document) for document in cluster.api.nodes()[0]]
        pods = [pod_of(document) for document in cluster.api.pods()[0]]
        groups = cluster.groups
    except AirflowAiError as error:
        yield Check(name="cluster", ok=False, message=error.message, remedy=error.remedy)
        return
    yield Check(name="cluster", ok=True, message=f"{cluster.api.address} answers: it is {name}.")
    yield _devices(cluster, nodes, [group.name for group in groups])
    yield from _troubles(nodes, cluster.resource)
    try:
        yield from _leases(cluster, pods)
    except ClusterError as error:
        yield Check(name="cluster leases", ok=False, message=error.message, remedy=error.remedy)


def _devices(cluster: ClusterPool, nodes: list[Node], groups: list[str]) -> Check:
    counts = [int(node.allocatable.get(cluster.resource, 0)) for node in nodes]
    with_some = [count for count in counts if count]
    grows = f" Groups that may grow: {', '.join(groups)}." if groups else ""
    return Check(
        name="cluster devices",
        ok=bool(with_some or groups),
        message=f"{sum(with_some)} of {cluster.resource} on {len(with_some)} nodes of "
        f"{len(nodes)}.{grows}",
        remedy=None
        if with_some or groups
        else "Look whether the device plugin runs on the nodes, or name another --resource.",
    )


def _troubles(nodes: list[Node], resource: str) -> Iterator[Check]:
    ill = [f"{n.name}: {n.trouble}" for n in nodes if n.trouble and n.allocatable.get(resource)]
    if ill:
        yield Check(
            name="cluster nodes",
            ok=False,
            message=f"Not granted: {'; '.join(ill)}.",
            remedy="Look with kubectl describe node; pods that were there are lost.",
        )


def _leases(cluster: ClusterPool, pods: list[ClusterPod]) -> Iterator[Check]:
    there = {pod.uid for pod in pods}
    records = [r for r in cluster.leases.leases(cluster.cluster) if r.pod is not None]
    gone = [r.id for r in records if str(r.pod).rpartition("/")[2] not in there]
    marks = [mark for pod in pods if (mark := parse_mark(pod.mark)) is not None]
    orphans = cluster.leases.ended(marks)
    yield Check(
        name="cluster leases",
        ok=not gone and not orphans,
        message=f"{len(records)} leases have pods."
        if not gone and not orphans
        else f"{len(gone)} leases have no pod any more; "
        f"{len(orphans)} pods have no lease any more.",
        remedy="Run `airflow-ai gpu reap --cluster`." if gone or orphans else None,
    )
