"""What a test of any cluster needs, and how the emulator gives it."""

from __future__ import annotations

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

    def limit(self, gpus: int) -> None:
        """Let the namespace hold no more than so many devices at once."""
        ...

    def queue(self, gpus: int) -> str:
        """Return the name of a LocalQueue of Kueue with so many devices; skip where is none."""
        ...


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

    def limit(self, gpus: int) -> None:
        self._cluster.create("resourcequotas", quota_of(self.resource, gpus))

    def queue(self, gpus: int) -> str:
        self._cluster.call(self._cluster.kueue.add_queue, self.namespace, "tried", gpus)
        return "tried"


def quota_of(resource: str, gpus: int) -> dict[str, Any]:
    """Return a ResourceQuota of so many devices."""
    hard = {f"requests.{resource}": str(gpus)}
    return {"metadata": {"name": "devices"}, "spec": {"hard": hard}}
