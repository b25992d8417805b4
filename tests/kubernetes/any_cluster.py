"""An emulated and a real cluster behind one face, for tests that hold on both."""

from __future__ import annotations

import secrets
from typing import Any, Protocol

from tests.kubernetes.emulator.cluster import Cluster

GPUS = 4  # devices of each of two nodes, or of the one that there is


class AnyCluster(Protocol):
    """What such a test needs."""

    namespace: str
    resource: str

    @property
    def pods(self) -> list[dict[str, Any]]: ...

    def says(
        self, *, seconds: float = 0.2, code: int = 0, lines: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Return the arguments of a task whose pod writes lines, sleeps and ends so."""
        ...

    def delete(self, name: str) -> None: ...


class EmulatedCluster:
    """The emulator: what a pod does is said by its annotations."""

    namespace, resource = "default", "nvidia.com/gpu"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def pods(self) -> list[dict[str, Any]]:
        return self._cluster.pods

    def says(
        self, *, seconds: float = 0.2, code: int = 0, lines: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        annotations = {
            "sim/run-seconds": str(seconds),
            "sim/exit-code": str(code),
            "sim/logs": "\n".join(lines),
        }
        return {"annotations": annotations}

    def delete(self, name: str) -> None:
        self._cluster.delete("pods", name, gracePeriodSeconds=0)


class RealCluster:
    """The cluster of ``KUBECONFIG``, in a namespace of its own, with devices of its own.

    They are an extended resource that is written into the status of up to two nodes, as Kubernetes
    documents for resources without a device plugin, and taken away afterwards.
    """

    resource = "airflow-ai.test/gpu"

    def __init__(self) -> None:
        from kubernetes import client, config

        config.load_kube_config()
        self._core = client.CoreV1Api()
        self._client = client
        self.namespace = f"airflow-ai-test-{secrets.token_hex(3)}"
        self._nodes: list[str] = []

    def __enter__(self) -> RealCluster:
        space = {"metadata": {"name": self.namespace}}
        self._core.create_namespace(space)
        ready = [n.metadata.name for n in self._core.list_node().items if not n.spec.unschedulable]
        self._nodes = ready[:2]
        self._offer("add", str(GPUS))
        return self

    def __exit__(self, *_: object) -> None:
        self._offer("remove", None)
        self._core.delete_namespace(self.namespace)

    def _offer(self, what: str, value: str | None) -> None:
        name = self.resource.replace("/", "~1")
        change = {"op": what, "path": f"/status/capacity/{name}", "value": value}
        for node in self._nodes:
            self._core.patch_node_status(node, [change])

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
