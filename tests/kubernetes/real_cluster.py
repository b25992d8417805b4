"""The cluster that ``KUBECONFIG`` names, as a test of any cluster meets it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.kubernetes.any_cluster import GPUS, quota_of

_KUEUE = ("kueue.x-k8s.io", "v1beta1")
_LONG = 60.0  # seconds


@contextmanager
def lets(what: str) -> Iterator[None]:
    """Skip, by name, what the cluster does not let the token of ``KUBECONFIG`` do."""
    from kubernetes.client import ApiException

    try:
        yield
    except ApiException as error:
        if error.status in {401, 403}:
            pytest.skip(f"the cluster does not let this token {what}")
        raise


class RealCluster:
    """The cluster of ``KUBECONFIG``, in a namespace of its own, with devices of its own.

    They are an extended resource that is written into the status of up to two nodes, as Kubernetes
    documents for resources without a device plugin, and taken away afterwards. What it lacks, or
    does not let the token do, is skipped by its name.
    """

    resource = "airflow-ai.test/gpu"

    def __init__(self) -> None:
        from kubernetes import client, config

        api = config.new_client_from_config(config_file=os.environ["KUBECONFIG"])
        self._core, self._custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
        self._made: list[tuple[str, str]] = []
        self._client = client
        self.namespace = f"airflow-ai-test-{secrets.token_hex(3)}"
        self._nodes: list[str] = []

    def __enter__(self) -> RealCluster:
        with lets("make a namespace"):
            self._core.create_namespace({"metadata": {"name": self.namespace}})
        ready = [n.metadata.name for n in self._core.list_node().items if _takes_pods(n)]
        self._nodes = ready[:2]
        try:
            with lets("offer devices on a node (patch nodes/status)"):
                self._offer("add", str(GPUS))
            self._await_devices()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self._nodes:
            there = self._core.read_node(node).status.capacity
            if self.resource in there:
                self._offer("remove", None, only=node)
        for kind, name in reversed(self._made):
            self._custom.delete_cluster_custom_object(*_KUEUE, kind, name)
        self._core.delete_namespace(self.namespace)

    def _offer(self, what: str, value: str | None, *, only: str | None = None) -> None:
        name = self.resource.replace("/", "~1")
        change = {"op": what, "path": f"/status/capacity/{name}", "value": value}
        for node in [only] if only else self._nodes:
            self._core.patch_node_status(node, [change])

    def _await_devices(self) -> None:
        """Wait until the kubelets say that pods may have the devices."""
        ends = time.monotonic() + _LONG
        while not all(
            self._core.read_node(node).status.allocatable.get(self.resource) == str(GPUS)
            for node in self._nodes
        ):
            assert time.monotonic() < ends, "the nodes do not take the devices that they are given"
            time.sleep(0.5)

    def limit(self, gpus: int) -> None:
        self._core.create_namespaced_resource_quota(self.namespace, quota_of(self.resource, gpus))

    def queue(self, gpus: int) -> str:
        try:
            with lets("read Kueue's queues"):
                self._custom.list_cluster_custom_object(*_KUEUE, "clusterqueues")
        except self._client.ApiException as error:
            if error.status == 404:
                pytest.skip("the cluster has no Kueue")
            raise
        name = self.namespace
        quota = {"name": self.resource, "nominalQuota": str(gpus)}
        group = {
            "coveredResources": [self.resource],
            "flavors": [{"name": name, "resources": [quota]}],
        }
        self._make("ResourceFlavor", {})
        self._make("ClusterQueue", {"namespaceSelector": {}, "resourceGroups": [group]})
        local = _document("LocalQueue", name, {"clusterQueue": name})
        self._custom.create_namespaced_custom_object(*_KUEUE, name, "localqueues", local)
        return name

    def _make(self, kind: str, spec: dict[str, Any]) -> None:
        plural = f"{kind.lower()}s"
        with lets(f"make a {kind} of Kueue"):
            made = _document(kind, self.namespace, spec)
            self._custom.create_cluster_custom_object(*_KUEUE, plural, made)
        self._made.append((plural, self.namespace))

    @property
    def pods(self) -> list[dict[str, Any]]:
        found = self._core.list_namespaced_pod(self.namespace).items
        return [self._client.ApiClient().sanitize_for_serialization(pod) for pod in found]

    def says(
        self, *, seconds: float = 0.2, code: int = 0, lines: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        told = "".join(f"echo '{line}'; " for line in lines)
        program = f"{told}sleep {seconds}; exit {code}"
        return {"image": "busybox:1.36", "cmds": ["sh", "-c"], "arguments": [program]}

    def delete(self, name: str) -> None:
        self._core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=0)


def _document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "/".join(_KUEUE), "kind": kind, "metadata": {"name": name}, "spec": spec
    }  # fmt: skip


def _takes_pods(node: Any) -> bool:
    ready = any(c.type == "Ready" and c.status == "True" for c in node.status.conditions or ())
    tainted = any(t.effect in {"NoSchedule", "NoExecute"} for t in node.spec.taints or ())
    return ready and not tainted and not node.spec.unschedulable
