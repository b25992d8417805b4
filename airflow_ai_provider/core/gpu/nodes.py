"""Nodes of a cluster, as far as they decide which pod may go there: labels, taints, affinity."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

# the control plane sets these for a while; they say how a node is, not whom it is for
_PASSING = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_KEEPS_OUT = {"NoSchedule", "NoExecute"}


@dataclass(frozen=True, kw_only=True)
class Taint:
    """What keeps pods off a node that do not tolerate it."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """What a device's node is: in which cluster, the resource's name, its labels and taints.

    One of a ``group`` is yet to come: an autoscaler makes it when a pod waits for it.
    """

    cluster: str
    name: str
    resource: str
    labels: tuple[tuple[str, str], ...] = ()
    taints: tuple[Taint, ...] = ()
    group: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """The facts as JSON has them."""
        return {
            "cluster": self.cluster,
            "name": self.name,
            "resource": self.resource,
            "labels": dict(self.labels),
            "taints": [[taint.key, taint.value, taint.effect] for taint in self.taints],
            **({"group": self.group} if self.group else {}),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> NodeFacts:
        """Return the facts that ``document`` writes down."""
        return cls(
            cluster=document["cluster"],
            name=document["name"],
            resource=document["resource"],
            labels=tuple(sorted(document["labels"].items())),
            taints=tuple(Taint(key=k, value=v, effect=e) for k, v, e in document["taints"]),
            group=document.get("group") or "",
        )


def taints_of(node: Mapping[str, Any]) -> tuple[Taint, ...]:
    """Return the lasting taints of a node's JSON that keep pods out."""
    return tuple(
        Taint(key=given["key"], value=given.get("value") or "", effect=given["effect"])
        for given in (node.get("spec") or {}).get("taints") or ()
        if given["effect"] in _KEEPS_OUT and not given["key"].startswith(_PASSING)
    )


def placement_of(
    pod: Mapping[str, Any], *, cluster: str, resource: str, may_wait: bool = False
) -> str:
    """Return where the JSON of a pod lets it go, as a text: the same for pods that are alike.

    With ``may_wait`` it may also have a node that is yet to come.
    """
    spec = pod.get("spec") or {}
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    document = {
        "cluster": cluster,
        "resource": resource,
        "selector": spec.get("nodeSelector") or {},
        "terms": required.get("nodeSelectorTerms") or [],
        "tolerations": [
            {k: given[k] for k in ("key", "operator", "value", "effect") if given.get(k)}
            for given in spec.get("tolerations") or ()
            # one for a while only is for a pod that runs already
            if given.get("tolerationSeconds") is None
        ],
        **({"may_wait": True} if may_wait else {}),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


@lru_cache(maxsize=4096)
def allows(placement: str, node: NodeFacts | None) -> bool:
    """Whether a pod of this placement may go to the node of a device."""
    if node is None:
        return False
    said = json.loads(placement)
    if (said["cluster"], said["resource"]) != (node.cluster, node.resource):
        return False
    if node.group and not said.get("may_wait"):
        return False
    labels = dict(node.labels)
    if any(labels.get(key) != value for key, value in said["selector"].items()):
        return False
    if said["terms"] and not any(_term_holds(term, labels, node) for term in said["terms"]):
        return False
    return all(_is_tolerated(taint, said["tolerations"]) for taint in node.taints)


def _term_holds(term: Mapping[str, Any], labels: Mapping[str, str], node: NodeFacts) -> bool:
    expressions, fields = term.get("matchExpressions"), term.get("matchFields")
    if not expressions and not fields:
        return False  # an empty term matches nothing
    return all(_holds(e, labels) for e in expressions or ()) and all(
        _holds(e, {"metadata.name": node.name}) for e in fields or ()
    )


def _holds(expression: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    value, wanted = values.get(expression["key"]), expression.get("values") or []
    operator = expression["operator"]
    if operator == "In":
        return value in wanted
    if operator == "NotIn":
        return value not in wanted
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    return _compares(operator, value, wanted)


def _compares(operator: str, value: str | None, wanted: Sequence[str]) -> bool:
    """Whether ``Gt`` or ``Lt`` holds; both sides must be whole numbers, as the scheduler has it."""
    try:
        have, limit = int(value or ""), int(wanted[0])
    except (ValueError, IndexError):
        return False
    return have > limit if operator == "Gt" else operator == "Lt" and have < limit


def _is_tolerated(taint: Taint, tolerations: Sequence[Mapping[str, str]]) -> bool:
    return any(
        given.get("effect") in {None, taint.effect}
        and (
            given.get("key") in {None, taint.key}
            if given.get("operator") == "Exists"
            else given.get("key") == taint.key and given.get("value", "") == taint.value
        )
        for given in tolerations
    )
