"""Many pods on few devices, with an API server that stumbles; many that wait, at no cost."""

from __future__ import annotations

import asyncio
import random
import resource
import threading
import time
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.hooks._cluster import ClusterAccess, client_of, cluster_of
from airflow_ai_provider.services.gpu import GpuPool
from airflow_ai_provider.triggers.gpu_kubernetes import GpuClusterTrigger, GpuPodTrigger
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.emulator.values import requests_of
from tests.kubernetes.tasks import context
from tests.kubernetes.test_operator import Background

AIRFLOWS_OWN = 200  # MiB: a triggerer of Airflow 3.3 without a trigger
pytestmark = pytest.mark.kubernetes
GPU = "nvidia.com/gpu"


class Monitor:
    """Looks at the pods ten times a second: what is bound, and how long what waits has waited."""

    def __init__(self, cluster: Cluster) -> None:
        self.most_bound = 0.0
        self.longest_pending = 0.0
        self._cluster = cluster
        self._unbound: dict[str, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Monitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.1):
            now, bound = time.monotonic(), 0.0
            for pod in self._cluster.pods:
                uid = pod["metadata"]["uid"]
                if pod["spec"].get("nodeName"):
                    over = pod["status"]["phase"] in {"Succeeded", "Failed"}
                    bound += 0 if over else requests_of(pod).get(GPU, 0)
                    self._unbound.pop(uid, None)
                else:
                    since = self._unbound.setdefault(uid, now)
                    self.longest_pending = max(self.longest_pending, now - since)
            self.most_bound = max(self.most_bound, bound)


def run_many(cluster: Cluster, count: int, *, seconds: float, stumbles: bool, seed: int) -> Monitor:
    """Run ``count`` tasks on eight devices, every other one deferred; return what was seen."""
    chance = random.Random(seed)
    if stumbles:
        cluster.server.faults.rate, cluster.server.faults.lose_rate = 0.03, 0.02
    with Monitor(cluster) as seen:
        tasks = [
            Background(
                context(run_id=f"r{number}"),
                gpus=chance.choice([1, 1, 2]),
                deferrable=number % 2 == 0,
                get_logs=number % 4 < 2,
                annotations={"sim/run-seconds": f"{seconds}", "sim/logs": "a\nb"},
            )
            for number in range(count)
        ]
        ends = time.monotonic() + 240
        while any(task.is_alive for task in tasks):
            assert time.monotonic() < ends, "they did not end"
            time.sleep(0.5)
            if stumbles and chance.random() < 0.2:
                cluster.drop_watches()
            if stumbles and chance.random() < 0.1:
                cluster.forget()
    errors = Counter(repr(error) for task in tasks if (error := task.end()) is not None)
    assert not errors
    return seen


def check(cluster: Cluster, pool: GpuPool, seen: Monitor, count: int) -> None:
    assert seen.most_bound <= 8
    assert seen.longest_pending < 5
    assert cluster.pods == []  # no orphans
    assert pool.gpu.leases() == []
    names: Counter[str | None] = Counter()
    for version, what, pod in cluster.call(lambda: list(cluster.objects.history["pods"])):
        del version
        if what == "ADDED":
            names[pod["metadata"]["labels"]["run_id"]] += 1
    assert len(names) == count
    assert set(names.values()) == {1}  # no duplicates


@pytest.mark.slow
def test_twenty_pods_on_eight_devices(cluster: Cluster, pool: GpuPool) -> None:
    seen = run_many(cluster, 20, seconds=0.3, stumbles=False, seed=1)
    check(cluster, pool, seen, 20)
    assert seen.most_bound >= 6


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
def test_sixty_pods_while_the_api_server_stumbles(
    cluster: Cluster, pool: GpuPool, seed: int
) -> None:
    seen = run_many(cluster, 60, seconds=1.0, stumbles=True, seed=seed)
    assert seen.most_bound <= 8
    assert seen.longest_pending < 5
    assert cluster.pods == []
    assert pool.gpu.leases() == []


@pytest.mark.slow
def test_a_thousand_that_wait_cost_the_api_server_what_one_does(
    cluster: Cluster, pool: GpuPool
) -> None:
    access = ClusterAccess(config_dict=cluster.config())
    inside = cluster_of(pool, client_of(access), resource=GPU)
    inside.look()
    holder = inside.ask(inside.ticket(asked(inside, 4), holder="a"))
    other = inside.ask(inside.ticket(asked(inside, 4), holder="b"))
    assert holder.lease is not None
    assert other.lease is not None
    tickets = [inside.ticket(asked(inside, 1), holder=f"w{n}") for n in range(1000)]
    for ticket in tickets[:3]:
        assert inside.ask(ticket).lease is None
    triggers = [
        GpuClusterTrigger(ticket=ticket.id, not_before=0.0, resource=GPU, access=access.document)
        for ticket in [tickets[n % 3] for n in range(1000)]
    ]
    used = asyncio.run(waiting(triggers, cluster, seconds=5.0))
    assert used["requests"] <= 2 * 5 + 4  # and two lists and two watches to begin with
    assert used["cpu"] < 5.0
    assert used["mib"] < 500


@pytest.mark.slow
def test_a_thousand_gated_pods_cost_the_api_server_what_one_does(cluster: Cluster) -> None:
    for number in range(10):
        container = {"name": "base", "image": "i:1"}
        pod = {
            "metadata": {"name": f"p{number}", "labels": {"kubernetes_pod_operator": "True"}},
            "spec": {"containers": [container], "schedulingGates": [{"name": "somebody/else"}]},
        }
        cluster.create("pods", pod)
    triggers = [
        GpuPodTrigger(
            pod_name=f"p{number % 10}",
            pod_namespace="default",
            trigger_start_time=datetime.now(timezone.utc),
            base_container_name="base",
            kubernetes_conn_id=None,
            config_dict=cluster.config(),
            schedule_timeout=1,
            startup_timeout=1,
        )
        for number in range(1000)
    ]
    first = asyncio.run(waiting(triggers[:1], cluster, seconds=1.0))  # the lists, and the watches
    assert first["requests"] <= 6
    used = asyncio.run(waiting(triggers, cluster, seconds=5.0))
    assert used["requests"] <= 2 * 5
    assert used["cpu"] < 5.0


async def waiting(triggers: list[Any], cluster: Cluster, *, seconds: float) -> dict[str, float]:
    async def follow(trigger: Any) -> None:
        async for event in trigger.run():
            raise AssertionError(f"it fired: {event}")

    before, begun, held = len(cluster.records), time.process_time(), resident()
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(follow(t)) for t in triggers]
    await asyncio.sleep(seconds)
    done = [task for task in tasks if task.done()]
    assert not done, done[0].exception()
    more = resident() - held
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "requests": len(cluster.records) - before,
        "cpu": time.process_time() - begun,
        "mib": AIRFLOWS_OWN + more,
    }


def resident() -> float:
    """Return the memory of this process, whatever other tests left in it, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def asked(inside: Any, gpus: int) -> GpuRequest:
    from dataclasses import replace

    from airflow_ai_provider.core.gpu.nodes import placement_of

    where = placement_of({}, cluster=inside.cluster, resource=GPU)
    return replace(GpuRequest.of(gpus=gpus), placement=where)
