"""A worker that is killed leaves pods; the next try finds them, and nothing is left over."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from airflow_ai_provider.services.gpu import GpuPool
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.test_operator import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.faults, pytest.mark.slow]


def worker(try_number: int, *numbers: int) -> subprocess.Popen[bytes]:
    words = [str(n) for n in (try_number, *numbers)]
    return subprocess.Popen([sys.executable, "-m", "tests.kubernetes.worker", *words])


def test_no_orphans_and_no_duplicates_after_a_kill(cluster: Cluster, pool: GpuPool) -> None:
    tasks = range(10)  # eight run, two wait
    first = worker(1, *tasks)
    until(lambda: sum(p["status"]["phase"] == "Running" for p in cluster.pods) >= 6, within=60)
    first.kill()
    first.wait()
    second = worker(2, *tasks)
    assert second.wait(90) == 0
    assert cluster.pods == []
    assert pool.gpu.leases() == []
    made = Counter(
        pod["metadata"]["labels"]["run_id"]
        for what, pod in cluster.call(lambda: list(cluster.objects.story["pods"]))
        if what == "ADDED"
    )
    assert len(made) == 10
    # a pod that ended while nobody looked is made again: its result is unknown
    assert max(made.values()) <= 2
