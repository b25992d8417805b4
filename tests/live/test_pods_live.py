"""Pods with GPUs in a real Airflow whose cluster is emulated, while what runs it is killed."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.many import Monitor
from tests.kubernetes.story import pods_of
from tests.live.stage import LiveStage, live

pytestmark = [pytest.mark.airflow, pytest.mark.kubernetes, pytest.mark.slow]
DAGS = Path(__file__).with_name("pod_dags")
GPUS = 8


@contextmanager
def stage_of(
    folder: Path, cluster: Cluster, *, pods: int, seconds: float, slots: int
) -> Iterator[LiveStage]:
    """Run an Airflow whose Kubernetes connection leads to ``cluster``."""
    path = cluster.write_config(folder / "kubeconfig")
    connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(path)}}
    store = f"sqlite:///{folder / 'airflow_ai.db'}"
    env = {
        "LIVE_STORE": store,
        "LIVE_PODS": str(pods),
        "LIVE_SECONDS": str(seconds),
        "AIRFLOW__CORE__EXECUTOR": "tests.live.executor.ReadyExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(slots),
        # a scheduler that is slow only must not take itself for dead, and its tasks for orphans
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "60",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",  # many import it at once, on two cores
        "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(connection),
    }
    with live(folder, store=store, env=env, dags=DAGS) as staged:
        yield staged


def states(stage: LiveStage, run: str) -> Counter[str]:
    return Counter(str(t["state"]) for t in stage.rest.tasks() if t["dag_run_id"] == run)


def bring_to_end(
    stage: LiveStage, count: int, deeds: list[Callable[[], None]], within: float
) -> list[dict[str, Any]]:
    """Run ``count`` pods; do each deed once so many more have succeeded. Return the tasks."""
    run = stage.rest.trigger("pods")
    ends, step = time.monotonic() + within, count / (len(deeds) + 2)
    waiting = list(deeds)
    while (seen := states(stage, run))["success"] < count:
        assert seen["failed"] + seen["upstream_failed"] == 0, seen
        assert time.monotonic() < ends, seen
        done = len(deeds) - len(waiting)
        if waiting and seen["success"] >= step * (done + 0.5):
            waiting.pop(0)()
        time.sleep(0.5)
    assert not waiting
    return [t for t in stage.rest.tasks() if t["dag_run_id"] == run]


def held(stage: LiveStage) -> list[str]:
    """Return who holds devices."""
    return [h["task"] for device in stage.status()["devices"] for h in device["holders"]]


def run_pods(
    folder: Path, count: int, *, seconds: float, slots: int, within: float, seed: int | None
) -> None:
    nodes = {"gpu-0": GPUS // 2, "gpu-1": GPUS // 2, "cpu-0": 0}
    with (
        Cluster(nodes) as cluster,
        stage_of(folder, cluster, pods=count, seconds=seconds, slots=slots) as stage,
    ):
        deeds = [
            lambda: stage.kill_component("triggerer", for_seconds=2),
            stage.kill_worker,
            lambda: stage.kill_component("scheduler", for_seconds=2),
        ]
        if seed is not None:
            cluster.server.faults.rate, cluster.server.faults.lose_rate = 0.02, 0.01
            chance = random.Random(seed)
            deeds += [chance.choice([cluster.drop_watches, cluster.forget]) for _ in range(9)]
            chance.shuffle(deeds)
        with Monitor(cluster) as seen:
            tasks = bring_to_end(stage, count, deeds, within)
        stage.wait("no lease", lambda: not held(stage), timeout=60)
        made = pods_of(cluster, devices=GPUS)
        print(Counter(t["try_number"] for t in tasks), Counter(made.values()), seen.most_bound)
        assert len(made) == count
        assert seen.longest_pending < 5
        assert cluster.pods == []  # no orphans


@pytest.mark.timeout(700)
def test_pods_outlive_who_is_killed(tmp_path: Path) -> None:
    run_pods(tmp_path, 6, seconds=4, slots=6, within=540, seed=None)


@pytest.mark.faults
@pytest.mark.timeout(2400)
def test_sixty_pods_outlive_who_is_killed_while_the_api_server_stumbles(tmp_path: Path) -> None:
    run_pods(tmp_path, 60, seconds=3, slots=36, within=1800, seed=1)
