"""What the API server fills in and refuses when a pod is created: defaults, rules, quotas."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tests.kubernetes.emulator.values import ApiError, Object, is_over, quantity, requests_of

_SPEC_DEFAULTS: dict[str, Any] = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "serviceAccountName": "default",
    "enableServiceLinks": True,
    "securityContext": {},
}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")


def wrong_labels(labels: dict[str, str] | None) -> list[str]:
    return [
        f"metadata.labels: Invalid value: {value!r}"
        for value in (labels or {}).values()
        if not _LABEL.fullmatch(value) or len(value) > 63
    ]


def admit_pod(pod: Object) -> list[str]:
    """Fill the defaults in and return what is wrong."""
    spec = pod.setdefault("spec", {})
    wrong = [] if spec.get("containers") else ["spec.containers: Required value"]
    for name, default in _SPEC_DEFAULTS.items():
        if spec.get(name) is None:
            spec[name] = default
    spec["tolerations"] = [*(spec.get("tolerations") or []), *_default_tolerations()]
    names: set[str] = set()
    volumes = {volume["name"] for volume in spec.get("volumes") or []}
    containers = (spec.get("initContainers") or []) + (spec.get("containers") or [])
    for place, container in enumerate(containers):
        wrong += _admit_container(container, f"spec.containers[{place}]", names, volumes)
    return wrong


def _default_tolerations() -> Iterable[Object]:
    for taint in ("not-ready", "unreachable"):
        yield {
            "key": f"node.kubernetes.io/{taint}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 300,
        }


def _admit_container(
    container: Object, where: str, names: set[str], volumes: set[str]
) -> list[str]:
    wrong = []
    name, image = container.get("name"), container.get("image") or ""
    if not name or not _NAME.fullmatch(name) or name in names:
        wrong.append(f"{where}.name: Invalid value or duplicate: {name!r}")
    names.add(str(name))
    if not image:
        wrong.append(f"{where}.image: Required value")
    newest = image.rpartition(":")[2] in {"latest", image}
    for key, default in (
        ("imagePullPolicy", "Always" if newest else "IfNotPresent"),
        ("terminationMessagePath", "/dev/termination-log"),
        ("terminationMessagePolicy", "File"),
        ("resources", {}),
    ):
        if container.get(key) is None:
            container[key] = default
    wrong += [
        f"{where}.volumeMounts: Not found: {mount['name']!r}"
        for mount in container.get("volumeMounts") or []
        if mount["name"] not in volumes
    ]
    return wrong + _admit_resources(container, where)


def _admit_resources(container: Object, where: str) -> list[str]:
    wrong = []
    limits = container["resources"].get("limits") or {}
    requests = dict(container["resources"].get("requests") or {})
    for name, value in limits.items():
        requests.setdefault(name, value)
        if quantity(requests[name]) > quantity(value):
            wrong.append(
                f"{where}.resources.requests: Invalid value: {requests[name]!r}: "
                f"must be less than or equal to {name} limit of {value}"
            )
    for name, value in requests.items():
        if "/" not in name:
            continue
        if quantity(value) % 1 or name not in limits or quantity(limits[name]) != quantity(value):
            wrong.append(
                f"{where}.resources.limits[{name}]: Required value or invalid: an extended "
                "resource needs an integer limit equal to its request"
            )
    if requests:
        container["resources"]["requests"] = requests
    return wrong


def set_priority(pod: Object, classes: dict[str, int]) -> None:
    """Resolve the name of the pod's priority class."""
    name = pod["spec"].get("priorityClassName")
    if not name:
        pod["spec"].setdefault("priority", 0)
        return
    if name not in classes:
        raise ApiError(
            403, "Forbidden",
            f'pods "{pod["metadata"]["name"]}" is forbidden: '
            f"no PriorityClass with name {name} was found",
        )  # fmt: skip
    pod["spec"]["priority"] = classes[name]


def used_of(hard: dict[str, Any], pods: Iterable[Object]) -> dict[str, float]:
    """Return how much of each resource of a quota ``pods`` use."""
    used = dict.fromkeys(hard, 0.0)
    for pod in pods:
        if not is_over(pod):
            for name in used:
                used[name] += _charge(name, pod)
    return used


def check_quota(quota: Object, pod: Object, pods: Iterable[Object]) -> None:
    """Refuse a pod that would use more than a ResourceQuota lets its namespace."""
    hard = quota["spec"]["hard"]
    used = used_of(hard, pods)
    asked = {name: _charge(name, pod) for name in hard}
    over = [
        name for name in hard if asked[name] and asked[name] + used[name] > quantity(hard[name])
    ]
    if over:
        said = [
            ",".join(f"{name}={of[name]:g}" for name in over)
            for of in (asked, used, {name: quantity(hard[name]) for name in over})
        ]
        raise ApiError(
            403, "Forbidden",
            f'pods "{pod["metadata"]["name"]}" is forbidden: exceeded quota: '
            f'{quota["metadata"]["name"]}, requested: {said[0]}, used: {said[1]}, '
            f"limited: {said[2]}",
        )  # fmt: skip


def _charge(name: str, pod: Object) -> float:
    if name == "pods":
        return 1
    return requests_of(pod).get(name.removeprefix("requests."), 0.0)
