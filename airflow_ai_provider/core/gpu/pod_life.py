"""A pod from its creation to its end: what it waits for, whether it starts, how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

KUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_NO_IMAGE = {"InvalidImageName", "ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff"}
# said of a registry that may answer soon: the kubelet tries again, and so do we wait
_PASSING = (
    "too many requests", "rate limit", "timeout", "temporarily unavailable", "bad gateway",
    "service unavailable", "pull qps exceeded",
)  # fmt: skip
_BROKEN = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_MEMORY_KILL = 137


class Stage(str, Enum):
    """How far a pod has come."""

    GATED = "gated"  # somebody else decides when it may be scheduled
    UNBOUND = "unbound"  # the scheduler has not placed it yet
    NO_ROOM = "no_room"  # the scheduler says that no node takes it now
    STARTING = "starting"  # on a node; images and volumes
    BROKEN = "broken"  # it will not start
    STARTED = "started"  # it runs, or has ended


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a pod stands, and the cluster's own words for it.

    ``since`` is the moment (seconds since 1970) from which its stage counts, by the cluster's own
    stamps: so no limit begins anew because another process follows it. None where none tells.
    """

    stage: Stage
    why: str = ""
    since: float | None = None


class EndKind(str, Enum):
    """How a pod ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # its program returned an exit code
    OUT_OF_MEMORY = "out_of_memory"
    EVICTED = "evicted"
    PREEMPTED = "preempted"
    NODE_LOST = "node_lost"
    DELETED = "deleted"
    NO_IMAGE = "no_image"
    NOT_STARTED = "not_started"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a pod ended, in a word and a sentence."""

    kind: EndKind
    sentence: str
    exit_code: int | None = None


def standing_of(pod: Mapping[str, Any]) -> Standing:
    """Return how the JSON of a pod stands on its way to its first running container."""
    status = pod.get("status") or {}
    if status.get("phase") not in {None, "Pending", "Unknown"}:
        return Standing(stage=Stage.STARTED)
    if wrong := _cannot_start(status):
        return Standing(stage=Stage.BROKEN, why=wrong)
    bound = _condition(status, "PodScheduled")
    if (pod.get("spec") or {}).get("nodeName"):
        at = _moment(bound.get("lastTransitionTime")) if bound.get("status") == "True" else None
        return Standing(stage=Stage.STARTING, why=_waits_on(status), since=at)
    gates = [gate["name"] for gate in (pod.get("spec") or {}).get("schedulingGates") or ()]
    if gates:
        return Standing(stage=Stage.GATED, why=f"gated by {', '.join(gates)}")
    meta = pod.get("metadata") or {}
    # of one that Kueue held back only its Workload knows since when it may go
    is_queued = KUEUE_LABEL in (meta.get("labels") or {})
    since = None if is_queued else _moment(meta.get("creationTimestamp"))
    if bound.get("status") == "False" and bound.get("reason") == "Unschedulable":
        return Standing(stage=Stage.NO_ROOM, why=bound.get("message") or "", since=since)
    return Standing(stage=Stage.UNBOUND, since=since)


def is_let_go(standing: Standing) -> bool:
    """Whether a queue let the pod go, at a moment that only its Workload tells."""
    return standing.stage in {Stage.UNBOUND, Stage.NO_ROOM} and standing.since is None


def kueue_says(workloads: Iterable[Mapping[str, Any]], name: str, *, kind: str = "Pod") -> str:
    """Return what Kueue says of a pod, or a Job, in its Workload; empty where it has none yet."""
    for workload in _workloads_of(workloads, name, kind):
        conditions = (workload.get("status") or {}).get("conditions") or ()
        waits = [c for c in conditions if c.get("status") == "False" and c.get("message")]
        queue = (workload.get("spec") or {}).get("queueName")
        return f"Kueue's queue {queue}: {waits[-1]['message']}" if waits else ""
    return ""


def admitted_at(workloads: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """Return the moment at which Kueue let a pod go; None where its Workload does not tell."""
    for workload in _workloads_of(workloads, name, "Pod"):
        admitted = _condition(workload.get("status") or {}, "Admitted")
        if admitted.get("status") == "True":
            return _moment(admitted.get("lastTransitionTime"))
    return None


def _workloads_of(
    workloads: Iterable[Mapping[str, Any]], name: str, kind: str
) -> Iterator[Mapping[str, Any]]:
    for workload in workloads:
        owners = workload["metadata"].get("ownerReferences") or ()
        if any(o.get("kind") == kind and o.get("name") == name for o in owners):
            yield workload


def ending_of(pod: Mapping[str, Any], *, container: str, node_trouble: str = "") -> Ending:
    """Return how the JSON of a pod ended, as far as ``container`` did its work in it."""
    status = pod.get("status") or {}
    name = f"Pod {pod['metadata'].get('namespace')}/{pod['metadata'].get('name')}"
    ended = _terminated(status, container)
    code = ended.get("exitCode") if ended else None
    if status.get("phase") == "Succeeded" or code == 0:
        return Ending(kind=EndKind.SUCCEEDED, sentence=f"{name} succeeded.", exit_code=code)
    disrupted = _condition(status, "DisruptionTarget")
    if node_trouble or disrupted.get("reason") == "DeletionByTaintManager":
        why = node_trouble or "its node did not answer"
        sentence = f"{name} was lost with its node: {why}."
        return Ending(kind=EndKind.NODE_LOST, sentence=sentence, exit_code=code)
    if ended and ended.get("reason") == "OOMKilled":
        sentence = (
            f"Container {container!r} of {name} was killed for memory (exit code {code}): "
            "it needed more than its memory limit."
        )
        return Ending(kind=EndKind.OUT_OF_MEMORY, sentence=sentence, exit_code=code)
    if status.get("reason") == "Evicted":
        sentence = f"{name} was evicted by its node: {status.get('message') or 'no reason given'}"
        return Ending(kind=EndKind.EVICTED, sentence=_full(sentence), exit_code=code)
    if kind := _taken(disrupted, _condition(status, "TerminationTarget")):
        why = disrupted.get("message") or disrupted.get("reason") or "preempted"
        sentence = f"{name} was taken off its node for others ({why})."
        return Ending(kind=kind, sentence=sentence, exit_code=code)
    if wrong := _cannot_start(status):
        kind = EndKind.NO_IMAGE if "mage" in wrong else EndKind.NOT_STARTED
        return Ending(kind=kind, sentence=f"{name} cannot start: {wrong}.")
    if code is not None:
        reason = (
            f", {ended['reason']}" if ended and ended.get("reason") not in {None, "Error"} else ""
        )
        hint = " (killed from outside)" if code == _MEMORY_KILL else ""
        sentence = f"Container {container!r} of {name} ended with exit code {code}{reason}{hint}."
        return Ending(kind=EndKind.FAILED, sentence=sentence, exit_code=code)
    if pod["metadata"].get("deletionTimestamp"):
        return Ending(kind=EndKind.DELETED, sentence=f"{name} was deleted by somebody else.")
    why = status.get("message") or status.get("reason") or "its containers never ran"
    return Ending(kind=EndKind.NOT_STARTED, sentence=_full(f"{name} failed: {why}"))


def _taken(disrupted: Mapping[str, Any], target: Mapping[str, Any]) -> EndKind | None:
    reasons = {disrupted.get("reason"), target.get("reason")} - {None}
    if not reasons:
        return None
    evicted = {"EvictionByEvictionAPI", "TerminationByKubelet"}
    return EndKind.EVICTED if reasons <= evicted else EndKind.PREEMPTED


def _cannot_start(status: Mapping[str, Any]) -> str:
    for container in (
        *(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()),
    ):  # fmt: skip
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason") or "", waiting.get("message") or ""
        passing = any(word in message.lower() for word in _PASSING)
        if reason in _NO_IMAGE and not passing:
            image = container.get("image") or "?"
            return f"image {image} cannot be pulled ({reason}: {message})"
        if reason in _BROKEN:
            return f"container {container.get('name')} cannot be made ({reason}: {message})"
    return ""


def _waits_on(status: Mapping[str, Any]) -> str:
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            return str(waiting["reason"])
    return ""


def _terminated(status: Mapping[str, Any], container: str) -> Mapping[str, Any] | None:
    for found in status.get("containerStatuses") or ():
        if found.get("name") == container:
            ended: Mapping[str, Any] | None = (found.get("state") or {}).get("terminated")
            return ended
    return None


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = status.get("conditions") or ()
    return next((c for c in conditions if c.get("type") == kind), {})


def _moment(stamp: str | None) -> float | None:
    if not stamp:
        return None
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def _full(sentence: str) -> str:
    return sentence if sentence.endswith(".") else sentence + "."
