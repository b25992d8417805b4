"""The way to a real cluster, tried on the emulator: nobody finds out first where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowException

from airflow_ai_provider.services.gpu import GpuPool
from tests.kubernetes.any_cluster import GPUS
from tests.kubernetes.emulator.access import Use
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.in_pod import runs_shell
from tests.kubernetes.real_cluster import RealCluster
from tests.kubernetes.tasks import run
from tests.kubernetes.test_any_cluster import on

pytestmark = pytest.mark.kubernetes


@pytest.fixture
def named(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """An emulated cluster that ``KUBECONFIG`` names."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.write_config(tmp_path / "named")))
    cluster.kubelet.behave = runs_shell
    return cluster


def offered(cluster: Cluster) -> list[str]:
    counts = [
        node["status"]["allocatable"].get(RealCluster.resource) for node in cluster.all("nodes")
    ]
    return [count for count in counts if count]


def test_it_offers_devices_runs_pods_and_leaves_nothing(named: Cluster, pool: GpuPool) -> None:
    with RealCluster() as real:
        assert offered(named) == [str(GPUS)] * 2
        assert run(**on(real, gpus=2)) is None
        with pytest.raises(AirflowException, match="loss is nan"):
            run(**on(real, code=3, lines=("loss is nan",)))
        real.limit(1)
        (quota,) = named.all("resourcequotas")
        assert quota["metadata"]["namespace"] == real.namespace
        with pytest.raises(pytest.skip.Exception, match="the cluster has no Kueue"):
            real.queue(1)
    assert offered(named) == []
    assert real.namespace not in {space["metadata"]["name"] for space in named.all("namespaces")}


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (Use("", "nodes/status", "patch"), "offer devices on a node"),
        (Use("", "namespaces", "create"), "make a namespace"),
    ],
)
def test_what_a_token_may_not_do_is_skipped_by_name(
    named: Cluster, pool: GpuPool, use: Use, said: str
) -> None:
    named.server.access.denied.add(use)
    with pytest.raises(pytest.skip.Exception, match=said), RealCluster():
        pass
    spaces = [space["metadata"]["name"] for space in named.all("namespaces")]
    assert not [name for name in spaces if name.startswith("airflow-ai-test")]
