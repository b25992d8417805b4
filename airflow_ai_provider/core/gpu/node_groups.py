"""Groups of nodes that an autoscaler makes as pods ask for them, and the nodes yet to come.

A group says how many nodes it may have; those that it lacks stand among the others with the devices
that they will bring. So a lease can be had on a node that is not there, and no more of them than
the group may grow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.errors import SettingsError
from airflow_ai_provider.core.gpu.cluster import DEFAULT_RESOURCE, Node
from airflow_ai_provider.core.gpu.nodes import Taint

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_FIELDS = {
    "name",
    "devices",
    "max_nodes",
    "labels",
    "labels_later",
    "taints",
    "resource",
    "cluster",
}
_MOST = 10_000
COMING = "~"  # parts a group's name from the number of a node yet to come; no node has it
_EXAMPLE = '[{"name": "h100", "labels": {"pool": "h100"}, "devices": 8, "max_nodes": 4}]'


@dataclass(frozen=True, kw_only=True)
class NodeGroup:
    """At most ``max_nodes`` nodes of ``devices`` devices each, known by their ``labels``.

    ``labels_later`` are those that a node gets once it runs, such as the model of its cards: the
    autoscaler does not know them. ``cluster`` is the name of the one cluster that has the group.
    """

    name: str
    devices: int
    max_nodes: int
    labels: tuple[tuple[str, str], ...]
    labels_later: tuple[tuple[str, str], ...] = ()
    taints: tuple[Taint, ...] = ()
    resource: str = DEFAULT_RESOURCE
    cluster: str = ""

    def has(self, node: Node) -> bool:
        """Whether ``node`` is one of this group."""
        return all(node.labels.get(key) == value for key, value in self.labels)

    def coming(self, nodes: Iterable[Node], held: Mapping[str, int]) -> list[Node]:
        """Return the nodes that are yet to come.

        ``held`` says how many devices of a node that is yet to come have leases, by its name. Such
        a node stays, with these devices alone once the group has no more to give.
        """
        left = max(0, self.max_nodes - sum(self.has(node) for node in nodes))
        names = [f"{self.name}{COMING}{number}" for number in range(self.max_nodes)]
        busy = [name for name in names if held.get(name)]
        idle = [name for name in names if not held.get(name)][: max(0, left - len(busy))]
        counts = dict.fromkeys([*busy[:left], *idle], self.devices)
        counts |= {name: min(held[name], self.devices) for name in busy[left:]}
        return [self._node(name, counts[name]) for name in names if name in counts]

    def _node(self, name: str, count: int) -> Node:
        return Node(
            name=name,
            allocatable={self.resource: float(count)},
            labels=dict(self.labels + self.labels_later),
            facts=self.taints,
            group=self.name,
        )


def groups_of(text: str) -> tuple[NodeGroup, ...]:
    """Read the setting ``node_groups``: a JSON list of objects with the fields of ``NodeGroup``.

    A taint is an object with ``key``, and ``value`` and ``effect`` where they are not empty and
    ``NoSchedule``.

    :raises SettingsError: it means nothing.
    """
    if not text.strip():
        return ()
    try:
        said = json.loads(text)
    except ValueError as error:
        raise _wrong(f"is no JSON: {error}") from error
    if not isinstance(said, list):
        raise _wrong("is no list")
    groups = tuple(_group(number, item) for number, item in enumerate(said))
    keys = [(group.cluster, group.resource, group.name) for group in groups]
    for key in keys:
        if keys.count(key) > 1:
            raise _wrong(f"has {key[2]!r} twice")
    return groups


def _group(number: int, item: Any) -> NodeGroup:
    where = f"item {number}"
    if not isinstance(item, dict):
        raise _wrong(f"{where} is no object")
    if unknown := sorted(item.keys() - _FIELDS):
        raise _wrong(f"{where} has the unknown field {unknown[0]!r}")
    name = item.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _wrong(f"{where} has the name {name!r}")
    where = f"group {name!r}"
    labels = _labels(where, item, "labels")
    if not labels:
        raise _wrong(f"{where} has no labels: every node would be one of it")
    return NodeGroup(
        name=name,
        devices=_count(where, item, "devices"),
        max_nodes=_count(where, item, "max_nodes"),
        labels=labels,
        labels_later=_labels(where, item, "labels_later"),
        taints=_taints(where, item.get("taints") or []),
        resource=_text(where, item, "resource") or DEFAULT_RESOURCE,
        cluster=_text(where, item, "cluster"),
    )


def _count(where: str, item: Mapping[str, Any], field: str) -> int:
    value = item.get(field)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        raise _wrong(f"{where} has {field}={value!r}, which is no number from 1 to {_MOST}")
    return value


def _labels(where: str, item: Mapping[str, Any], field: str) -> tuple[tuple[str, str], ...]:
    value = item.get(field) or {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise _wrong(f"{where} has {field}={value!r}, which is no object of texts")
    return tuple(sorted(value.items()))


def _taints(where: str, given: Any) -> tuple[Taint, ...]:
    found = []
    for taint in given if isinstance(given, list) else [given]:
        if (
            not isinstance(taint, dict)
            or not isinstance(taint.get("key"), str)
            or not all(isinstance(value, str) for value in taint.values())
            or taint.keys() - {"key", "value", "effect"}
        ):
            raise _wrong(f"{where} has the taint {taint!r}")
        found.append(Taint(**taint))
    return tuple(found)


def _text(where: str, item: Mapping[str, Any], field: str) -> str:
    value = item.get(field) or ""
    if not isinstance(value, str) or len(value) > 250:
        raise _wrong(f"{where} has {field}={value!r}, which is no name")
    return value


def _wrong(what: str) -> SettingsError:
    return SettingsError(
        f"The setting node_groups {what}.",
        remedy=f"Write groups such as {_EXAMPLE}.",
        setting="node_groups",
    )


def of_cluster(
    groups: Sequence[NodeGroup], *, cluster: str, resource: str
) -> tuple[NodeGroup, ...]:
    """Return the groups that bring ``resource`` to a cluster."""
    return tuple(g for g in groups if g.resource == resource and g.cluster in {"", cluster})
