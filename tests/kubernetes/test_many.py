"""Many pods on few devices, with an API server that stumbles; many that wait, at no cost."""

from __future__ import annotations

import pytest

from airflow_ai_provider.services.gpu import GpuPool
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.many import Monitor, run_many, wait_together
from tests.kubernetes.story import pods_of

pytestmark = pytest.mark.kubernetes


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
    seconds = 5.0
    used = wait_together(cluster, pool, seconds)
    assert used["requests"] <= 2 * seconds  # the lists to begin with, too
    assert used["cpu"] < seconds
    assert used["mib"] < 500
