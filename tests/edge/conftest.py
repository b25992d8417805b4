"""Fixtures of the Airflow side."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.services.gpu import GpuPool, release_held


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GpuPool]:
    """A pool of one declared device in an empty SQLite store, found by Airflow's settings."""
    url = f'{{"extra": {{"url": "sqlite:///{tmp_path}/ai.db"}}}}'
    monkeypatch.setenv("AIRFLOW_CONN_AI_STORE_DEFAULT", url)
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__STATIC_DEVICES", "cpu:0")
    yield GpuPoolHook().get_conn()
    monkeypatch.delitem(sys.modules, "torch", raising=False)  # what stood in its place
    release_held()
