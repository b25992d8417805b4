"""A cluster for the tests: the emulator always, and a real one that ``KUBECONFIG`` names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.services.gpu import GpuPool
from tests.kubernetes.any_cluster import AnyCluster, EmulatedCluster, RealCluster
from tests.kubernetes.emulator.cluster import Cluster
from tests.stores import store_file


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """An emulated cluster of two nodes with four GPUs each, found by Airflow's connection."""
    with Cluster({"gpu-0": 4, "gpu-1": 4, "cpu-0": 0}) as emulated:
        path = emulated.write_config(tmp_path / "kubeconfig")
        extra = {"kube_config_path": str(path)}
        found = json.dumps({"conn_type": "kubernetes", "extra": extra})
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", found)
        monkeypatch.delenv("KUBECONFIG", raising=False)
        yield emulated


@pytest.fixture(params=["emulated", *(["real"] if os.environ.get("KUBECONFIG") else [])])
def kubernetes_cluster(request: pytest.FixtureRequest) -> Iterator[AnyCluster]:
    """The emulator, and then the cluster that ``KUBECONFIG`` names, unchanged for the test."""
    if request.param == "emulated":
        yield EmulatedCluster(request.getfixturevalue("cluster"))
        return
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    extra = {"kube_config_path": os.environ["KUBECONFIG"]}
    found = json.dumps({"conn_type": "kubernetes", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", found)
    with RealCluster() as real:
        yield real


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GpuPool:
    """An empty pool in a SQLite store, found by Airflow's connection."""
    found = json.dumps({"conn_type": "ai_store", "extra": {"url": store_file(tmp_path / "ai.db")}})
    monkeypatch.setenv("AIRFLOW_CONN_AI_STORE_DEFAULT", found)
    return GpuPoolHook().get_conn()
