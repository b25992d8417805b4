"""A whole cluster in a thread of this process."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from aiohttp import web

from airflow_ai_provider.services.reflected import stop_watching
from tests.kubernetes.emulator.access import Record, Use
from tests.kubernetes.emulator.controllers import JobController, NodeController
from tests.kubernetes.emulator.faults import Fault
from tests.kubernetes.emulator.kubelet import Behaviour, Kubelet
from tests.kubernetes.emulator.kueue import Kueue
from tests.kubernetes.emulator.objects import Objects
from tests.kubernetes.emulator.scheduler import GPU, Scheduler
from tests.kubernetes.emulator.server import Server
from tests.kubernetes.emulator.values import Object, now

_Result = TypeVar("_Result")
_SPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class Cluster:
    """Serves on a port of this machine; ``nodes`` are names with how many GPUs each has."""

    def __init__(
        self,
        nodes: Mapping[str, int] | None = None,
        *,
        behave: Behaviour = lambda _pod: {},
        tick: float = 0.05,
    ) -> None:
        self.objects = Objects()
        self.scheduler = Scheduler(self.objects)
        self.kubelet = Kubelet(self.objects, behave)
        self.node_controller = NodeController(self.objects, self.kubelet)
        self.jobs = JobController(self.objects)
        self.kueue = Kueue(self.objects)
        self.server = Server(self.objects, self.scheduler, self.kubelet)
        self.port = 0
        self._nodes = dict(nodes or {})
        self._tick = tick
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Cluster:
        self._thread.start()
        assert self._up.wait(10), "the emulator did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stop_watching(self.address)
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _run(self) -> None:
        for name in _SPACES:
            space = {"metadata": {"name": name}, "status": {"phase": "Active"}}
            self.objects.create("namespaces", None, space)
        for name, gpus in self._nodes.items():
            self._add_node(name, gpus)
        runner = web.ServerRunner(
            web.Server(self.server.serve, access_log=None), shutdown_timeout=0.1
        )
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._up.set()
        while not self._stop.is_set():
            self._step()
            await asyncio.sleep(self._tick)
        await runner.cleanup()

    def _step(self) -> None:
        self.kueue.step()
        self.jobs.step()
        self.node_controller.step()
        self.scheduler.step()
        self.kubelet.step()
        self.objects.count_quotas()

    def _add_node(
        self,
        name: str,
        gpus: int = 0,
        *,
        resource: str = GPU,
        labels: Mapping[str, str] | None = None,
        taints: list[Object] | None = None,
        cpu: str = "64",
    ) -> None:
        there = {"cpu": cpu, "memory": "512Gi", "pods": "110"}
        if gpus:
            there[resource] = str(gpus)
        node = {
            "metadata": {
                "name": name,
                "labels": {"kubernetes.io/hostname": name, **(labels or {})},
            },
            "spec": {"taints": taints or []},
            "status": {
                "capacity": there,
                "allocatable": there,
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now()}],
            },
        }
        self.objects.create("nodes", None, node)

    # --- from any thread --------------------------------------------------------------------------

    def call(self, function: Callable[..., _Result], *args: Any, **kwargs: Any) -> _Result:
        """Run ``function`` in the server's thread."""

        async def go() -> _Result:
            return function(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(go(), self._loop).result(10)

    def add_node(self, name: str, gpus: int = 0, **given: Any) -> None:
        self.call(self._add_node, name, gpus, **given)

    def change_node(self, name: str, change: Callable[[Object], None]) -> None:
        def go() -> None:
            node = self.objects.lookup("nodes", None, name)
            change(node)
            self.objects.changed("MODIFIED", "nodes", node)

        self.call(go)

    def lose_node(self, name: str, *, evict_after: float = 300.0) -> None:
        self.call(self.node_controller.lose, name, evict_after=evict_after)

    def create(self, resource: str, of: Object, namespace: str = "default") -> Object:
        return self.call(lambda: copy.deepcopy(self.objects.create(resource, namespace, of)))

    def delete(self, resource: str, name: str, namespace: str = "default", **options: Any) -> None:
        self.call(self.objects.delete, resource, namespace, name, options)

    def get(self, resource: str, name: str, namespace: str = "default") -> Object:
        return self.call(lambda: copy.deepcopy(self.objects.lookup(resource, namespace, name)))

    def all(self, resource: str) -> list[Object]:
        return self.call(lambda: copy.deepcopy(self.objects.all(resource)))

    def fault(self, pattern: str, code: int | None = None, **given: Any) -> None:
        self.call(self.server.faults.add, Fault(pattern, code, **given))

    def drop_watches(self) -> None:
        """Close every connection that watches."""

        def go() -> None:
            for request in list(self.server.watching.values()):
                if request.transport is not None:
                    request.transport.abort()

        self.call(go)

    def forget(self) -> None:
        """Compact: who watches from before is told 410 Gone."""
        self.call(self.objects.forget)

    @property
    def records(self) -> list[Record]:
        """Every request so far."""
        return self.call(lambda: list(self.server.records))

    @property
    def uses(self) -> set[Use]:
        """Which verbs on which resources were used so far."""
        return {record.use for record in self.records}

    @property
    def pods(self) -> list[Object]:
        """The pods as they are now."""
        return self.all("pods")

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def config(self) -> dict[str, Any]:
        """Return a kubeconfig that leads here."""
        server = {"server": self.address}
        context = {"cluster": "emulated", "user": "worker", "namespace": "default"}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "emulated",
            "contexts": [{"name": "emulated", "context": context}],
            "clusters": [{"name": "emulated", "cluster": server}],
            "users": [{"name": "worker", "user": {"token": "t"}}],
        }

    def write_config(self, path: Path) -> Path:
        path.write_text(json.dumps(self.config()))
        return path
