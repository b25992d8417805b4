"""What GPUs, a lease and a queue add to a pod, and what in it contradicts them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import GpuRequestError
from airflow_ai_provider.core.gpu.cluster import LEASE_ANNOTATION, OWNER_ANNOTATION
from airflow_ai_provider.core.gpu.lease import TaskIdentity
from airflow_ai_provider.core.gpu.memory import parse_memory

if TYPE_CHECKING:
    from kubernetes.client import V1Container, V1Pod

_SHARED = "airflow-ai-shared-memory"
# by the domain of a resource: the labels of its model, and of its memory in MiB
_LABELS: dict[str, tuple[str, str | None]] = {
    "nvidia.com": ("nvidia.com/gpu.product", "nvidia.com/gpu.memory"),
    "amd.com": ("amd.com/gpu.product-name", None),
}


def gpus_of(pod: V1Pod, container: str, resource: str, asked: int | None) -> int:
    """Return how many of ``resource`` a pod is to have: as asked, else as it says, else one.

    :raises GpuRequestError: what is asked, its limits and its requests contradict each other.
    """
    resources = _container(pod, container).resources
    said: dict[str, int] = {}
    for name in ("limits", "requests"):
        value = (getattr(resources, name, None) or {}).get(resource)
        if value is not None:
            said[name] = _whole(value, f"{name} of {resource}")
    if asked is not None:
        said["gpus"] = asked
    if len(set(said.values())) > 1:
        parts = " and ".join(f"{name}={value}" for name, value in said.items())
        raise GpuRequestError(
            f"The pod contradicts itself about {resource}: {parts}.",
            remedy="Give gpus, or limits in the pod; requests always equal limits.",
        )
    return next(iter(said.values()), 1)


def add_gpus(pod: V1Pod, container: str, resource: str, count: int) -> None:
    """Give the container ``count`` of ``resource``: requests equal limits."""
    from kubernetes.client import V1ResourceRequirements, V1Toleration

    found = _container(pod, container)
    resources = found.resources or V1ResourceRequirements()
    resources.limits = {**(resources.limits or {}), resource: str(count)}
    resources.requests = {**(resources.requests or {}), resource: str(count)}
    found.resources = resources
    tolerations = list(pod.spec.tolerations or [])
    if not any(given.key in {None, resource} for given in tolerations):
        # clusters keep others off their GPU nodes by a taint of the resource's name
        tolerations.append(V1Toleration(key=resource, operator="Exists"))
    pod.spec.tolerations = tolerations


def require(pod: V1Pod, expressions: Sequence[dict[str, Any]], *, fields: bool = False) -> None:
    """Let the pod go only to nodes whose labels, or ``fields``, meet all ``expressions``."""
    from kubernetes.client import (
        V1Affinity,
        V1NodeAffinity,
        V1NodeSelector,
        V1NodeSelectorRequirement,
        V1NodeSelectorTerm,
    )

    if not expressions:
        return
    affinity = pod.spec.affinity or V1Affinity()
    node = affinity.node_affinity or V1NodeAffinity()
    required = node.required_during_scheduling_ignored_during_execution or V1NodeSelector(
        node_selector_terms=[V1NodeSelectorTerm()]
    )
    more = [V1NodeSelectorRequirement(**expression) for expression in expressions]
    for term in required.node_selector_terms:  # any of them lets it go: so to each of them
        if fields:
            term.match_fields = [*(term.match_fields or []), *more]
        else:
            term.match_expressions = [*(term.match_expressions or []), *more]
    node.required_during_scheduling_ignored_during_execution = required
    affinity.node_affinity = node
    pod.spec.affinity = affinity


def card_expressions(
    resource: str, *, model: str | Sequence[str] | None, min_memory: str | None
) -> list[dict[str, Any]]:
    """Return what a node's labels must say of its cards.

    :raises GpuRequestError: no label of this resource's vendor says it.
    """
    label, memory_label = _LABELS.get(resource.partition("/")[0], (None, None))
    found: list[dict[str, Any]] = []
    if model:
        models = [model] if isinstance(model, str) else list(model)
        if label is None:
            raise _no_label("gpu_model", resource)
        found.append({"key": label, "operator": "In", "values": models})
    if min_memory is not None:
        if memory_label is None:
            raise _no_label("min_gpu_memory", resource)
        # Gt is strict, and integers are all that it knows
        least = str(parse_memory(min_memory) - 1)
        found.append({"key": memory_label, "operator": "Gt", "values": [least]})
    return found


def share_memory(pod: V1Pod, container: str, size: str | None) -> None:
    """Mount memory of the node at ``/dev/shm``, which is 64 MiB otherwise: loaders need more."""
    from kubernetes.client import V1EmptyDirVolumeSource, V1Volume, V1VolumeMount

    found = _container(pod, container)
    if size is None or any(m.mount_path == "/dev/shm" for m in found.volume_mounts or ()):  # noqa: S108
        return
    source = V1EmptyDirVolumeSource(medium="Memory", size_limit=size)
    pod.spec.volumes = [*(pod.spec.volumes or []), V1Volume(name=_SHARED, empty_dir=source)]
    mount = V1VolumeMount(name=_SHARED, mount_path="/dev/shm")  # noqa: S108
    found.volume_mounts = [*(found.volume_mounts or []), mount]


def stamp(pod: V1Pod, mark: str, node: str | None) -> None:
    """Write the lease onto the pod, and let it go only to the node whose devices it has."""
    pod.metadata.annotations = {**(pod.metadata.annotations or {}), LEASE_ANNOTATION: mark}
    if node is not None:
        field = {"key": "metadata.name", "operator": "In", "values": [node]}
        require(pod, [field], fields=True)


def own(pod: V1Pod, task: TaskIdentity) -> None:
    """Write onto the pod which task instance made it: a reaper asks what became of that."""
    owner = json.dumps(asdict(task), sort_keys=True)
    pod.metadata.annotations = {**(pod.metadata.annotations or {}), OWNER_ANNOTATION: owner}


def _container(pod: V1Pod, name: str) -> V1Container:
    return next((c for c in pod.spec.containers if c.name == name), pod.spec.containers[0])


def _whole(value: Any, what: str) -> int:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if number < 0 or not number.is_integer():
        raise GpuRequestError(
            f"{what} is {value!r}, which is no whole number.",
            remedy="A device plugin hands out whole devices: write 1, or ask for a MIG resource.",
        )
    return int(number)


def _no_label(argument: str, resource: str) -> GpuRequestError:
    return GpuRequestError(
        f"{argument} means nothing for {resource!r}: no label of a node is known to say it.",
        remedy="Use node_selector or affinity with your cluster's own labels.",
    )
