"""Many pods on few devices, with an API server that stumbles; many that wait, at no cost."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import datetime, timezone
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.hooks._cluster import ClusterAccess, client_of, cluster_of
from airflow_ai_provider.services.gpu import GpuPool
from airflow_ai_provider.triggers.gpu_job import GpuJobTrigger
from airflow_ai_provider.triggers.gpu_kubernetes import GpuClusterTrigger, GpuPodTrigger
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.emulator.values import requests_of
from tests.kubernetes.story import pods_of
from tests.kubernetes.tasks import context
from tests.kubernetes.test_operator import Background

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


def check(cluster: Cluster, pool: GpuPool, seen: Monitor) -> None:
    assert seen.most_bound <= 8
    assert seen.longest_pending < 5
    assert cluster.pods == []  # no orphans
    assert pool.gpu.leases() == []
    assert set(pods_of(cluster, devices=8).values()) == {1}


@pytest.mark.slow
def test_twenty_pods_on_eight_devices(cluster: Cluster, pool: GpuPool) -> None:
    seen = run_many(cluster, 20, seconds=0.3, stumbles=False, seed=1)
    check(cluster, pool, seen)
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
    # one that ended while its task could not be told is made again, but never beside it
    assert len(pods_of(cluster, devices=8)) == 60


@pytest.mark.slow
def test_a_thousand_that_wait_cost_the_api_server_what_one_does(
    cluster: Cluster, pool: GpuPool
) -> None:
    triggers: list[BaseTrigger] = [*for_devices(cluster, pool, 400), *for_a_gate(cluster, 400)]
    triggers += for_a_queue(cluster, 200)
    seconds, before = 5.0, len(cluster.records)
    told = subprocess.run(
        [sys.executable, "-m", "tests.kubernetes.triggerer", str(seconds)],
        input=json.dumps([trigger.serialize() for trigger in triggers], default=str),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=110,
    ).stdout
    used = json.loads(told.splitlines()[-1])
    assert len(cluster.records) - before <= 2 * seconds  # the lists to begin with, too
    assert used["cpu"] < seconds
    assert used["mib"] < 500


def for_devices(cluster: Cluster, pool: GpuPool, count: int) -> list[GpuClusterTrigger]:
    """Return triggers that follow tickets, while every device is taken."""
    access = ClusterAccess(config_dict=cluster.config())
    inside = cluster_of(pool, client_of(access), resource=GPU)
    inside.look()
    for name in ("a", "b"):
        assert inside.ask(inside.ticket(asked(inside, 4), holder=name)).lease is not None
    tickets = [inside.ticket(asked(inside, 1), holder=f"w{n}") for n in range(20)]
    for ticket in tickets:
        assert inside.ask(ticket).lease is None
    return [
        GpuClusterTrigger(
            ticket=tickets[n % len(tickets)].id,
            not_before=0.0,
            resource=GPU,
            access=access.document,
        )
        for n in range(count)
    ]


def for_a_gate(cluster: Cluster, count: int) -> list[GpuPodTrigger]:
    """Return triggers that each follow a gated pod of its own."""
    for number in range(count):
        container = {"name": "base", "image": "i:1"}
        pod = {
            "metadata": {"name": f"p{number}", "labels": {"kubernetes_pod_operator": "True"}},
            "spec": {"containers": [container], "schedulingGates": [{"name": "somebody/else"}]},
        }
        cluster.create("pods", pod)
    return [
        GpuPodTrigger(
            pod_name=f"p{number}",
            pod_namespace="default",
            trigger_start_time=datetime.now(timezone.utc),
            base_container_name="base",
            kubernetes_conn_id=None,
            config_dict=cluster.config(),
            schedule_timeout=1,
            startup_timeout=1,
        )
        for number in range(count)
    ]


def for_a_queue(cluster: Cluster, count: int) -> list[GpuJobTrigger]:
    """Return triggers that each follow a Job that Kueue does not admit."""
    cluster.call(cluster.kueue.add_queue, "default", "full", 0)
    labels = {"kubernetes_pod_operator": "True", "kueue.x-k8s.io/queue-name": "full"}
    resources = {"requests": {GPU: "1"}, "limits": {GPU: "1"}}
    spec = {"containers": [{"name": "base", "image": "i:1", "resources": resources}]}
    followed = {
        "namespace": "default", "workers": 1, "container": "base", "schedule_timeout": 1,
        "startup_timeout": 1, "wants_results": False,
    }  # fmt: skip
    for number in range(count):
        job = {
            "metadata": {"name": f"j{number}", "labels": dict(labels)},
            "spec": {"suspend": True, "template": {"spec": spec}},
        }
        cluster.create("jobs", job)
    access = ClusterAccess(config_dict=cluster.config()).document
    return [
        GpuJobTrigger(followed={**followed, "name": f"j{n}"}, access=access, not_before=0.0)
        for n in range(count)
    ]


def asked(inside: Any, gpus: int) -> GpuRequest:
    from dataclasses import replace

    from airflow_ai_provider.core.gpu.nodes import placement_of

    where = placement_of({}, cluster=inside.cluster, resource=GPU)
    return replace(GpuRequest.of(gpus=gpus), placement=where)
