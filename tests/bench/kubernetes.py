"""``make bench-kubernetes``: what waits for a cluster's GPUs, on the emulator, beside its goals.

Exits 0 when everything was measured, met or missed.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.services.gpu import GpuPool
from tests.bench.report import figure, report, say
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.many import run_many, wait_together
from tests.kubernetes.story import pods_of
from tests.stores import store_file

WAITING_SECONDS = 30.0
PODS, POD_SECONDS, GPUS = 60, 1.0, 8


@contextmanager
def pool_of_a_cluster() -> Iterator[tuple[Cluster, GpuPool]]:
    """Yield an emulated cluster of two nodes with four GPUs each, and an empty pool for it."""
    with (
        tempfile.TemporaryDirectory() as name,
        Cluster({"gpu-0": GPUS // 2, "gpu-1": GPUS // 2, "cpu-0": 0}) as cluster,
    ):
        config = cluster.write_config(Path(name) / "kubeconfig")
        store = {"conn_type": "ai_store", "extra": {"url": store_file(Path(name) / "ai.db")}}
        kubernetes = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(config)}}
        os.environ["AIRFLOW_CONN_AI_STORE_DEFAULT"] = json.dumps(store)
        os.environ["AIRFLOW_CONN_KUBERNETES_DEFAULT"] = json.dumps(kubernetes)
        os.environ.pop("KUBECONFIG", None)
        yield cluster, GpuPoolHook().get_conn()


def waiting(seconds: float = WAITING_SECONDS) -> Iterator[dict[str, Any]]:
    """Measure a thousand triggers that wait: for devices, behind gates, in a queue."""
    with pool_of_a_cluster() as (cluster, pool):
        used = wait_together(cluster, pool, seconds)
    what = "1000 waiting triggers"
    yield figure(f"{what}: requests to the API server", used["requests"] / seconds, "per s", 2)
    yield figure(f"{what}: the triggerer's CPU", 100 * used["cpu"] / seconds, "%", 100)
    yield figure(f"{what}: the triggerer's memory", used["mib"] * 1.048576, "MB", 500)


def many(pods: int = PODS, seconds: float = POD_SECONDS) -> Iterator[dict[str, Any]]:
    """Measure pods on eight GPUs, half of them deferred, while the API server stumbles or not."""
    for how, stumbles in (("", False), (", the API server stumbling", True)):
        with pool_of_a_cluster() as (cluster, pool):
            began = time.monotonic()
            seen = run_many(cluster, pods, seconds=seconds, stumbles=stumbles, seed=1)
            say(f"{pods} pods of {seconds:g} s{how}: {time.monotonic() - began:.1f} s")
            made = pods_of(cluster, devices=GPUS)
            left = len(cluster.pods) + len(pool.gpu.leases())
        what = f"{pods} pods on {GPUS} GPUs{how}"
        yield figure(f"{what}: bound at most", seen.most_bound, "GPUs", GPUS)
        yield figure(f"{what}: longest Pending", seen.longest_pending, "s", 5)
        yield figure(f"{what}: orphans and leases left", left, "", 0)
        yield figure(f"{what}: tasks without a pod", pods - len(made), "", 0)


def main() -> None:
    """Measure, print and write ``build/bench/kubernetes.json``."""
    report(
        "kubernetes",
        {"what waiting costs": waiting, "many pods on few GPUs": many},
    )


if __name__ == "__main__":
    main()
