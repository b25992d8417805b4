"""Many pods on few devices, and many that wait: what the tests and the benchmark of them run."""

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

from airflow.triggers.base import BaseTrigger

from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.hooks._cluster import ClusterAccess, client_of, cluster_of
from airflow_ai_provider.services.gpu import GpuPool
from airflow_ai_provider.triggers.gpu_job import GpuJobTrigger
from airflow_ai_provider.triggers.gpu_kubernetes import GpuClusterTrigger, GpuPodTrigger
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.emulator.values import requests_of
from tests.kubernetes.tasks import context
from tests.kubernetes.test_operator import Background

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


def wait_together(cluster: Cluster, pool: GpuPool, seconds: float) -> dict[str, float]:
    """Let a thousand triggers wait in one triggerer; return ``requests``, ``cpu`` s and ``mib``."""
    triggers: list[BaseTrigger] = [*for_devices(cluster, pool, 400), *for_a_gate(cluster, 400)]
    triggers += for_a_queue(cluster, 200)
    before = len(cluster.records)
    told = subprocess.run(
        [sys.executable, "-m", "tests.kubernetes.triggerer", str(seconds)],
        input=json.dumps([trigger.serialize() for trigger in triggers], default=str),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=seconds + 105,
    ).stdout
    return {**json.loads(told.splitlines()[-1]), "requests": len(cluster.records) - before}


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
