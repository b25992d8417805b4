"""Where a pod may go: a scheduler that knows GPUs, taints, affinity and preemption."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.kubernetes.emulator.objects import Objects
from tests.kubernetes.emulator.values import (
    ApiError,
    Object,
    is_over,
    quantity,
    requests_of,
    set_condition,
)

GPU = "nvidia.com/gpu"
_OPERATORS: dict[str, Any] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
    "Gt": lambda value, values: value is not None and int(value) > int(values[0]),
    "Lt": lambda value, values: value is not None and int(value) < int(values[0]),
}


class Scheduler:
    """Binds the pods that wait, those of the highest priority first."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    def step(self) -> None:
        used = self._used()
        for pod in sorted(self._waiting(), key=lambda p: -(p["spec"].get("priority") or 0)):
            node, why = self._place(pod, used)
            if node is None:
                self._explain(pod, why)
                self._preempt(pod)
                continue
            self.bind(pod, node)
            _add(used, node, pod)
            meta = pod["metadata"]
            said = f"Successfully assigned {meta['namespace']}/{meta['name']} to {node}"
            self.objects.event(pod, "Scheduled", said, source="default-scheduler")

    def bind(self, pod: Object, node: str) -> None:
        if pod["spec"].get("nodeName"):
            said = f"pod {pod['metadata']['name']} is already assigned to a node"
            raise ApiError(409, "Conflict", said)
        pod["spec"]["nodeName"] = node
        set_condition(pod, "PodScheduled", "True")
        self.objects.changed("MODIFIED", "pods", pod)

    def _waiting(self) -> list[Object]:
        return [
            pod
            for pod in self.objects.all("pods")
            if not pod["spec"].get("nodeName")
            and not pod["metadata"].get("deletionTimestamp")
            and pod["spec"]["schedulerName"] == "default-scheduler"
            and not pod["spec"].get("schedulingGates")
            and pod["status"]["phase"] == "Pending"
        ]

    def _used(self) -> dict[str, Counter[str]]:
        used: dict[str, Counter[str]] = {}
        for pod in self.objects.all("pods"):
            if (node := pod["spec"].get("nodeName")) and not is_over(pod):
                _add(used, node, pod)
        return used

    def _place(self, pod: Object, used: dict[str, Counter[str]]) -> tuple[str | None, Counter[str]]:
        """Return the best node, or why there is none: best is used GPUs first."""
        why: Counter[str] = Counter()
        fit = []
        asked = requests_of(pod)
        for node in self.objects.all("nodes"):
            name = node["metadata"]["name"]
            if (no := _why_not(pod, node, used.get(name, Counter()))) is not None:
                why[no] += 1
                continue
            gpus = quantity(node["status"].get("allocatable", {}).get(GPU, 0))
            fit.append((gpus > 0 and not asked.get(GPU), -used.get(name, Counter())[GPU], name))
        return (min(fit)[2] if fit else None), why

    def _explain(self, pod: Object, why: Counter[str]) -> None:
        nodes = len(self.objects.table("nodes"))
        said = ", ".join(f"{count} {reason}" for reason, count in sorted(why.items()))
        message = f"0/{nodes} nodes are available: {said}."
        if set_condition(pod, "PodScheduled", "False", reason="Unschedulable", message=message):
            self.objects.changed("MODIFIED", "pods", pod)
            self.objects.event(pod, "FailedScheduling", message, "Warning", "default-scheduler")

    def _preempt(self, pod: Object) -> None:
        """Delete pods of lower priority from the first node where that makes room."""
        priority = pod["spec"].get("priority") or 0
        for node in self.objects.all("nodes"):
            name = node["metadata"]["name"]
            there = [
                other
                for other in self.objects.all("pods")
                if other["spec"].get("nodeName") == name and not is_over(other)
            ]
            if any(other["metadata"].get("deletionTimestamp") for other in there):
                continue  # room is being made already
            victims: list[Object] = []
            left = sorted(there, key=lambda p: p["spec"].get("priority") or 0)
            while left and (left[0]["spec"].get("priority") or 0) < priority:
                victims.append(left.pop(0))
                used: dict[str, Counter[str]] = {}
                for other in left:
                    _add(used, name, other)
                if _why_not(pod, node, used.get(name, Counter())) is None:
                    for victim in victims:
                        self.evict(victim, "PreemptionByScheduler")
                    return

    def evict(self, pod: Object, reason: str) -> None:
        """Delete a pod for the good of others, and say so in its conditions."""
        set_condition(pod, "DisruptionTarget", "True", reason=reason, message="preempted")
        self.objects.changed("MODIFIED", "pods", pod)
        meta = pod["metadata"]
        self.objects.delete("pods", meta["namespace"], meta["name"], {})


def _add(used: dict[str, Counter[str]], node: str, pod: Object) -> None:
    on = used.setdefault(node, Counter())
    on["pods"] += 1
    for name, value in requests_of(pod).items():
        on[name] += value  # type: ignore[assignment]


def _why_not(pod: Object, node: Object, used: Counter[str]) -> str | None:
    if node["spec"].get("unschedulable"):
        return "node(s) were unschedulable"
    if any(
        taint["effect"] != "PreferNoSchedule" and not _tolerates(pod, taint)
        for taint in node["spec"].get("taints") or []
    ):
        return "node(s) had untolerated taint(s)"
    if not suits(pod, node):
        return "node(s) didn't match Pod's node affinity/selector"
    allocatable = node["status"].get("allocatable", {})
    for name, value in {**requests_of(pod), "pods": 1}.items():
        if used[name] + value > quantity(allocatable.get(name, 0)):
            return f"Insufficient {name}"
    return None


def _tolerates(pod: Object, taint: Object) -> bool:
    return any(
        (
            (given.get("operator") == "Exists" and given.get("key") in (None, taint["key"]))
            or (given.get("key") == taint["key"] and given.get("value") == taint.get("value"))
        )
        and given.get("effect") in (None, taint["effect"])
        and given.get("tolerationSeconds") is None
        for given in pod["spec"].get("tolerations") or []
    )


def suits(pod: Object, node: Object) -> bool:
    """Whether the pod's selector and required affinity let it on the node."""
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(k) != v for k, v in (pod["spec"].get("nodeSelector") or {}).items()):
        return False
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = required.get("nodeSelectorTerms")
    fields = {"metadata.name": node["metadata"]["name"]}
    return not terms or any(
        all(_holds(e, labels) for e in term.get("matchExpressions") or [])
        and all(_holds(e, fields) for e in term.get("matchFields") or [])
        for term in terms
    )


def _holds(expression: Object, values: dict[str, str]) -> bool:
    test = _OPERATORS[expression["operator"]]
    return bool(test(values.get(expression["key"]), expression.get("values") or []))
