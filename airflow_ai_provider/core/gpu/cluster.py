"""A cluster's nodes and pods as a source of devices, and what became of the pods of leases.

``Σ allocatable of ready, schedulable nodes - requests of pods that have not ended``, node by node:
a device of a node is one unit of its resource, named by number. The device plugin, not we, picks
the card.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.gpu.devices import DEFAULT_POOL, Device, DeviceKind, Health
from airflow_ai_provider.core.gpu.nodes import NodeFacts, allows, placement_of, taints_of

LEASE_ANNOTATION = "airflow-ai/lease"  # <id>:<fence> of the lease that a pod holds
OWNER_ANNOTATION = "airflow-ai/task"  # JSON of the task instance that made a pod
POOL_LABEL = "airflow-ai/gpu-pool"  # of a node: to which pool its devices belong
DEFAULT_RESOURCE = "nvidia.com/gpu"
_MODEL_LABELS = (
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "cloud.google.com/gke-accelerator",
)
_MEMORY_LABEL = "nvidia.com/gpu.memory"  # MiB, as GPU feature discovery says it
_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d+)?)(m|k|[KMGTPE]i?|)")
_UNITS = {
    "": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip
_LONGEST_HOST = 250
_CLUSTER_HOST = re.compile(r"k8s-[0-9a-f-]{8}/")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node; ``trouble`` says why it takes no pod now, ``lost`` that it does not answer.

    One of a ``group`` is yet to come: an autoscaler will make it.
    """

    name: str
    allocatable: Mapping[str, float]
    labels: Mapping[str, str]
    facts: tuple[Any, ...]  # its taints
    cordoned: bool = False
    lost: bool = False
    trouble: str = ""
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class ClusterPod:
    """A pod, as far as it takes devices; ``mark`` is that of the lease that it holds."""

    namespace: str
    name: str
    uid: str
    node: str | None
    phase: str
    requests: Mapping[str, float]
    mark: str | None = None
    gated: bool = False
    deleting: bool = False
    owner: str = ""  # JSON of the task instance that made it, if one of ours did
    where: str = ""  # of one that is not bound: where its own spec lets it go

    @property
    def is_over(self) -> bool:
        """Whether it has given back what it had."""
        return self.phase in {"Succeeded", "Failed"}

    @property
    def path(self) -> str:
        """What the store has as a lease's holder."""
        return f"{self.namespace}/{self.name}/{self.uid}"


def quantity(text: Any) -> float:
    """Return a Kubernetes quantity as a number; one that means nothing is 0."""
    found = _QUANTITY.fullmatch(str(text))
    return float(found[1]) * _UNITS.get(found[2], 0.0) if found else 0.0


def node_of(document: Mapping[str, Any]) -> Node:
    """Read a node's JSON."""
    meta, spec = document["metadata"], document.get("spec") or {}
    status = document.get("status") or {}
    ready: Mapping[str, Any] = next(
        (c for c in status.get("conditions") or () if c["type"] == "Ready"), {}
    )
    state = ready.get("status", "Unknown")
    trouble = "" if state == "True" else f"the node is not ready: {ready.get('reason') or state}"
    return Node(
        name=meta["name"],
        allocatable={k: quantity(v) for k, v in (status.get("allocatable") or {}).items()},
        labels=meta.get("labels") or {},
        facts=taints_of(document),
        cordoned=bool(spec.get("unschedulable")),
        lost=state != "True",
        trouble=trouble,
    )


def pod_of(document: Mapping[str, Any]) -> ClusterPod:
    """Read a pod's JSON."""
    meta, spec = document["metadata"], document.get("spec") or {}
    is_bound = bool(spec.get("nodeName"))
    return ClusterPod(
        namespace=meta.get("namespace") or "default",
        name=meta["name"],
        uid=meta["uid"],
        node=spec.get("nodeName"),
        phase=(document.get("status") or {}).get("phase") or "Pending",
        requests=requests_of(spec),
        mark=(meta.get("annotations") or {}).get(LEASE_ANNOTATION),
        owner=(meta.get("annotations") or {}).get(OWNER_ANNOTATION) or "",
        gated=bool(spec.get("schedulingGates")),
        deleting=bool(meta.get("deletionTimestamp")),
        where="" if is_bound else placement_of(document, cluster="", resource=""),
    )


def requests_of(spec: Mapping[str, Any]) -> dict[str, float]:
    """Return what a pod's spec asks for, as the scheduler counts it.

    The sum of its containers and sidecars, or more while an init container runs.
    """
    total: dict[str, float] = {}
    for container in spec.get("containers") or ():
        _add(total, container)
    most: dict[str, float] = {}
    beside: dict[str, float] = {}  # init containers that stay: sidecars
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            _add(beside, container)
            _add(total, container)
        else:
            alone = dict(beside)
            _add(alone, container)
            most = {k: max(most.get(k, 0.0), alone.get(k, 0.0)) for k in most | alone}
    return {k: max(total.get(k, 0.0), most.get(k, 0.0)) for k in total | most}


def _add(total: dict[str, float], container: Mapping[str, Any]) -> None:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    for name, value in asked.items():
        total[name] = total.get(name, 0.0) + quantity(value)


def host_name(cluster: str, node: str, resource: str) -> str:
    """Return the name under which a node's devices of one resource stand in the store."""
    name = f"{cluster}/{node}" + ("" if resource == DEFAULT_RESOURCE else f":{resource}")
    if len(name) <= _LONGEST_HOST:
        return name
    return f"{name[: _LONGEST_HOST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def is_of_cluster(host: str) -> bool:
    """Whether a host of the store is a node of a cluster."""
    return _CLUSTER_HOST.match(host) is not None


def devices_of(
    node: Node, *, cluster: str, resource: str, taken: int, held: Collection[str]
) -> tuple[Device, ...]:
    """Return a node's devices of ``resource``.

    ``taken`` of them have pods that hold no lease of ours; ``held`` are those that leases have:
    they are there for as long as the node has as many.
    """
    count = int(node.allocatable.get(resource, 0))
    coming = f"an autoscaler brings it with a node of group {node.group}" if node.group else ""
    there = sorted(held, key=_number)[:count]
    free = [name for n in range(count) if (name := f"{resource}:{n}") not in there]
    free = free[: count - len(there)]
    occupied = frozenset(free[max(0, len(free) - taken) :])
    health, reason = Health.HEALTHY, ""
    if node.trouble:
        health, reason = Health.UNHEALTHY, node.trouble
    elif node.cordoned:
        health, reason = Health.DRAINED, "the node is cordoned"
    facts = NodeFacts(
        cluster=cluster,
        name=node.name,
        resource=resource,
        labels=tuple(sorted(node.labels.items())),
        taints=node.facts,
        group=node.group,
    )
    memory = node.labels.get(_MEMORY_LABEL, "")
    return tuple(
        Device(
            uuid=name,
            host=host_name(cluster, node.name, resource),
            kind=DeviceKind.KUBERNETES,
            model=next((node.labels[key] for key in _MODEL_LABELS if key in node.labels), ""),
            memory_mib=int(memory) if memory.isdigit() else None,
            pool=node.labels.get(POOL_LABEL) or DEFAULT_POOL,
            health=Health.OCCUPIED if name in occupied and not reason else health,
            reason="pods that hold no lease have it"
            if name in occupied and not reason
            else reason or coming,
            node=facts,
        )
        for name in sorted([*there, *free], key=_number)
    )


def taken_by_others(
    nodes: Iterable[Node], pods: Iterable[ClusterPod], *, resource: str, leases: Mapping[str, str]
) -> dict[str, int]:
    """Return, by node, how many devices pods have that hold none of ``leases`` there.

    ``leases`` are live marks with the name of the node that each is on. A pod that waits to be
    bound takes room where the scheduler may put it next: ours would wait behind it. That is also
    so for one whose lease is on a node yet to come, and which may find room before.
    """
    there = {node.name: node for node in nodes}
    room = {n.name: n.allocatable.get(resource, 0.0) for n in there.values() if not n.trouble}
    taken: dict[str, float] = {}
    waiting = []
    for pod in pods:
        asked = pod.requests.get(resource, 0.0)
        if not asked or pod.is_over:
            continue
        if pod.node is not None:
            room[pod.node] = room.get(pod.node, 0.0) - asked
            if leases.get(pod.mark or "") != pod.node:
                taken[pod.node] = taken.get(pod.node, 0.0) + asked
        elif not pod.gated and not pod.deleting and leases.get(pod.mark or "") not in there:
            waiting.append((asked, pod.uid, pod))
    for asked, _, pod in sorted(waiting, key=lambda found: (-found[0], found[1])):
        fits = [n for n, left in room.items() if left >= asked and _may_go(pod, there.get(n))]
        if fits:
            name = min(fits, key=lambda n: (room[n], n))
            room[name] -= asked
            taken[name] = taken.get(name, 0.0) + asked
    return {name: round(count) for name, count in taken.items()}


def _may_go(pod: ClusterPod, node: Node | None) -> bool:
    if node is None or not pod.where:
        return node is not None
    labels = tuple(sorted(node.labels.items()))
    facts = NodeFacts(cluster="", name=node.name, resource="", labels=labels, taints=node.facts)
    return allows(pod.where, facts)


def _number(name: str) -> tuple[int, str]:
    number = name.rpartition(":")[2]
    return (int(number) if number.isdigit() else 0, name)
