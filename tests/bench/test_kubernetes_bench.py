"""The benchmark of GPUs on Kubernetes at a small size; ``make bench-kubernetes`` runs it whole."""

from __future__ import annotations

import os

import pytest

from tests.bench import kubernetes
from tests.bench.report import KEYS


@pytest.mark.slow
@pytest.mark.kubernetes
def test_every_figure_of_many_pods_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW_CONN_AI_STORE_DEFAULT", "AIRFLOW_CONN_KUBERNETES_DEFAULT"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # it sets them: give them back
    figures = list(kubernetes.many(pods=6, seconds=0.2))
    assert len(figures) == 8
    for found in figures:
        assert set(found) == set(KEYS)
        assert found["met"], found
