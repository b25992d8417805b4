"""The objects of a cluster, their history, and what may be done to them."""

from __future__ import annotations

import asyncio
import copy
import re
import secrets
import uuid
from collections.abc import Callable
from typing import Any

from tests.kubernetes.emulator.admission import (
    admit_pod,
    check_quota,
    set_priority,
    used_of,
    wrong_labels,
)
from tests.kubernetes.emulator.pod_updates import may_become
from tests.kubernetes.emulator.values import (
    ApiError,
    Object,
    is_over,
    now,
    requests_of,
    set_condition,
)

KINDS = {
    "pods": "Pod", "nodes": "Node", "events": "Event", "namespaces": "Namespace",
    "services": "Service", "configmaps": "ConfigMap", "secrets": "Secret",
    "serviceaccounts": "ServiceAccount", "leases": "Lease", "jobs": "Job",
    "persistentvolumeclaims": "PersistentVolumeClaim", "resourcequotas": "ResourceQuota",
    "priorityclasses": "PriorityClass", "workloads": "Workload", "localqueues": "LocalQueue",
    "clusterqueues": "ClusterQueue",
}  # fmt: skip
CLUSTER_WIDE = {"nodes", "namespaces", "persistentvolumes", "priorityclasses", "clusterqueues"}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


class Objects:
    """Every object, by resource; used only in the thread of the server's event loop."""

    def __init__(self) -> None:
        self.version = 1
        self.oldest = 0  # events up to this version are forgotten
        self.tables: dict[str, dict[tuple[str, str], Object]] = {}
        self.history: dict[str, list[tuple[int, str, Object]]] = {}
        self.story: dict[str, list[tuple[str, Object]]] = {}  # all that ever was: for tests
        self.waiters: set[asyncio.Event] = set()
        self.kueue = False
        self.admits: list[Callable[[Object], None]] = []  # each may refuse a pod

    def table(self, resource: str) -> dict[tuple[str, str], Object]:
        return self.tables.setdefault(resource, {})

    def all(self, resource: str) -> list[Object]:
        return list(self.table(resource).values())

    def changed(self, what: str, resource: str, of: Object) -> None:
        """Give ``of`` a new version and tell those who watch."""
        self.version += 1
        of["metadata"]["resourceVersion"] = str(self.version)
        past = self.history.setdefault(resource, [])
        event = (self.version, what, copy.deepcopy(of))
        past.append(event)
        self.story.setdefault(resource, []).append(event[1:])
        for waiter in list(self.waiters):
            waiter.set()

    def forget(self) -> None:
        """Compact: a watch from an older version is told 410 Gone."""
        self.oldest = self.version
        self.history.clear()

    def lookup(self, resource: str, namespace: str | None, name: str) -> Object:
        found = self.table(resource).get(_key(resource, namespace, name))
        if found is None:
            raise ApiError(
                404, "NotFound", f'{resource} "{name}" not found', name=name, kind=resource
            )
        return found

    def create(self, resource: str, namespace: str | None, of: Object) -> Object:
        meta = of.setdefault("metadata", {})
        if meta.get("generateName") and not meta.get("name"):
            meta["name"] = meta["generateName"] + secrets.token_hex(3)[:5]
        self._check_name(resource, meta)
        if resource not in CLUSTER_WIDE:
            self._check_namespace(namespace, meta)
        wrong = wrong_labels(meta.get("labels"))
        if resource == "pods":
            wrong += admit_pod(of)
        if wrong:
            raise _invalid(resource, meta["name"], ", ".join(wrong))
        key = _key(resource, namespace, meta["name"])
        if key in self.table(resource):
            said = f'{resource} "{meta["name"]}" already exists'
            raise ApiError(409, "AlreadyExists", said, name=meta["name"], kind=resource)
        if resource == "pods":
            self._admit(of, namespace)
        meta.update(uid=str(uuid.uuid4()), creationTimestamp=now(), generation=1)
        if resource == "pods":
            _begin_pod(of)
        of.setdefault("kind", KINDS.get(resource, resource))
        of.setdefault("apiVersion", "v1")
        self.table(resource)[key] = of
        self.changed("ADDED", resource, of)
        return of

    def update(
        self, resource: str, namespace: str | None, name: str, new: Object, *, status: bool = False
    ) -> Object:
        old = self.lookup(resource, namespace, name)
        meta, was = new.setdefault("metadata", {}), old["metadata"]
        if meta.get("uid") not in (None, was["uid"]) or meta.get("resourceVersion") not in (
            None, "", was["resourceVersion"],
        ):  # fmt: skip
            raise ApiError(
                409, "Conflict",
                f'Operation cannot be fulfilled on {resource} "{name}": the object has been '
                "modified; please apply your changes to the latest version and try again",
                name=name, kind=resource,
            )  # fmt: skip
        if status:
            new = dict(copy.deepcopy(old), status=new.get("status") or {})
        else:
            _keep(resource, old, new)
        if _same(old, new):
            return old
        self.table(resource)[_key(resource, namespace, name)] = new
        meta = new["metadata"]
        held = resource == "pods" and meta.get("deletionGracePeriodSeconds")
        if meta.get("deletionTimestamp") and not meta.get("finalizers") and not held:
            return self.remove(resource, new)
        self.changed("MODIFIED", resource, new)
        return new

    def remove(self, resource: str, of: Object) -> Object:
        meta = of["metadata"]
        self.table(resource).pop(_key(resource, meta.get("namespace"), meta["name"]), None)
        self.changed("DELETED", resource, of)
        return of

    def delete(
        self, resource: str, namespace: str | None, name: str, options: dict[str, Any]
    ) -> Object:
        of = self.lookup(resource, namespace, name)
        meta = of["metadata"]
        uid = (options.get("preconditions") or {}).get("uid")
        if uid and uid != meta["uid"]:
            raise ApiError(
                409, "Conflict",
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
                f"{meta['uid']}",
            )  # fmt: skip
        grace = options.get("gracePeriodSeconds")
        if resource == "pods":
            default = of["spec"].get("terminationGracePeriodSeconds", 30)
            grace = default if grace is None else int(grace)
            if grace and of["spec"].get("nodeName") and not is_over(of):
                return self._mark_deleted(resource, of, grace)
        if meta.get("finalizers"):
            return self._mark_deleted(resource, of, 0)
        return self.remove(resource, of)

    def event(
        self, of: Object, reason: str, message: str, kind: str = "Normal", source: str = "kubelet"
    ) -> None:
        meta = of["metadata"]
        about = {
            "kind": of["kind"],
            "name": meta["name"],
            "namespace": meta.get("namespace"),
            "uid": meta["uid"],
        }
        event = {
            "metadata": {"generateName": meta["name"] + "."},
            "reason": reason,
            "message": message,
            "type": kind,
            "count": 1,
            "involvedObject": about,
            "firstTimestamp": now(),
            "lastTimestamp": now(),
            "source": {"component": source},
        }
        namespace = meta.get("namespace", "default")
        if ("", namespace) in self.table("namespaces"):
            self.create("events", namespace, event)

    def count_quotas(self) -> None:
        """Bring the status of every ResourceQuota up to date."""
        for quota in self.all("resourcequotas"):
            space, hard = quota["metadata"]["namespace"], quota["spec"]["hard"]
            used = used_of(hard, self._pods_of(space))
            status = {"hard": hard, "used": {name: f"{value:g}" for name, value in used.items()}}
            if quota.get("status") != status:
                quota["status"] = status
                self.changed("MODIFIED", "resourcequotas", quota)

    def delete_namespace(self, name: str) -> None:
        """Take a namespace away with all that is in it."""
        for resource, table in list(self.tables.items()):
            for of in list(table.values()):
                if of["metadata"].get("namespace") == name:
                    self.remove(resource, of)
        self.remove("namespaces", self.lookup("namespaces", None, name))

    def _pods_of(self, namespace: str | None) -> list[Object]:
        return [p for p in self.all("pods") if p["metadata"]["namespace"] == namespace]

    def _mark_deleted(self, resource: str, of: Object, grace: int) -> Object:
        if not of["metadata"].get("deletionTimestamp"):
            of["metadata"].update(deletionTimestamp=now(), deletionGracePeriodSeconds=grace)
            self.changed("MODIFIED", resource, of)
        return of

    def _check_name(self, resource: str, meta: dict[str, Any]) -> None:
        name = meta.get("name")
        if not name:
            raise ApiError(422, "Invalid", "resource name may not be empty")
        if not _NAME.fullmatch(name) or len(name) > 253:
            raise _invalid(
                resource, name,
                "metadata.name: Invalid value: a lowercase RFC 1123 subdomain must consist of "
                "lower case alphanumeric characters, '-' or '.'",
            )  # fmt: skip

    def _check_namespace(self, namespace: str | None, meta: dict[str, Any]) -> None:
        if meta.get("namespace") not in (None, namespace):
            said = "the namespace of the provided object does not match the one of the request"
            raise ApiError(400, "BadRequest", said)
        meta["namespace"] = namespace
        if ("", namespace) not in self.table("namespaces"):
            said = f'namespaces "{namespace}" not found'
            raise ApiError(404, "NotFound", said, name=namespace, kind="namespaces")

    def _admit(self, pod: Object, namespace: str | None) -> None:
        for admit in self.admits:
            admit(pod)
        set_priority(pod, {c["metadata"]["name"]: c["value"] for c in self.all("priorityclasses")})
        for quota in self.all("resourcequotas"):
            if quota["metadata"]["namespace"] == namespace:
                check_quota(quota, pod, self._pods_of(namespace))
        if self.kueue and "kueue.x-k8s.io/queue-name" in (pod["metadata"].get("labels") or {}):
            pod["spec"].setdefault("schedulingGates", []).append(
                {"name": "kueue.x-k8s.io/admission"}
            )
            pod["metadata"]["labels"]["kueue.x-k8s.io/managed"] = "true"
            pod["metadata"].setdefault("finalizers", []).append("kueue.x-k8s.io/managed")


def _key(resource: str, namespace: str | None, name: str) -> tuple[str, str]:
    return ("" if resource in CLUSTER_WIDE else namespace or "", name)


def _invalid(resource: str, name: str, why: str) -> ApiError:
    kind = KINDS.get(resource, resource)
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {why}', name=name)


def _begin_pod(pod: Object) -> None:
    pod["status"] = {
        "phase": "Pending",
        "qosClass": "Burstable" if requests_of(pod) else "BestEffort",
    }
    if pod["spec"].get("schedulingGates"):
        said = "Scheduling is blocked due to non-empty scheduling gates"
        set_condition(pod, "PodScheduled", "False", reason="SchedulingGated", message=said)


def _same(old: Object, new: Object) -> bool:
    one, two = (dict(o, metadata=dict(o["metadata"], resourceVersion="")) for o in (old, new))
    return one == two


def _keep(resource: str, old: Object, new: Object) -> None:
    """Keep what an update of an object may not change, and refuse what it must not."""
    if resource in {"pods", "nodes"} and "status" in old:
        new["status"] = copy.deepcopy(old["status"])
    if resource == "pods" and not may_become(old["spec"], new.get("spec") or {}):
        raise _invalid(
            resource, old["metadata"]["name"],
            "spec: Forbidden: pod updates may not change fields other than "
            "`spec.containers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations`",
        )  # fmt: skip
    for name in (
        "uid", "creationTimestamp", "deletionTimestamp", "name", "namespace",
        "deletionGracePeriodSeconds",
    ):  # fmt: skip
        if name in old["metadata"]:
            new["metadata"][name] = old["metadata"][name]
