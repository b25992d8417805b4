"""Fixtures of the Airflow side."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.services.gpu import GpuPool, release_held
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.testing import FakeRegistry
from tests.edge.drift_scene import profiled, write
from tests.edge.feedback_waiting import Said
from tests.edge.promotion_scene import connection, context_of, serving
from tests.edge.promotion_tasks import GOOD, Parked, gate
from tests.stores import store_file


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GpuPool]:
    """A pool of one declared device in an empty SQLite store, found by Airflow's settings."""
    url = json.dumps({"extra": {"url": store_file(tmp_path / "ai.db")}})
    monkeypatch.setenv("AIRFLOW_CONN_AI_STORE_DEFAULT", url)
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__STATIC_DEVICES", "cpu:0")
    yield GpuPoolHook().get_conn()
    monkeypatch.delitem(sys.modules, "torch", raising=False)  # what stood in its place
    release_held()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty SQLite store, found by Airflow's connection."""
    url = store_file(tmp_path / "airflow_ai.db")
    found = {"conn_type": "ai_store", "extra": {"url": url}}
    monkeypatch.setenv("AIRFLOW_CONN_AI_STORE_DEFAULT", json.dumps(found))
    return Store.open(url)


@pytest.fixture
def ledger(here: Store) -> Ledger:
    """The ledger of the store that Airflow's connection finds."""
    return Ledger(here)


@pytest.fixture
def say() -> Said:
    """Takes feedback in, every record with an id of its own."""
    return Said()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRegistry]:
    """A registry with two versions of ``flights``, over HTTP, found by Airflow's connection."""
    fake = FakeRegistry()
    fake.create_model("flights")
    for place in (1, 2):
        fake.create_version("flights", model_uri=f"m{place}", run_id=f"run{place}", tags={})
    with serving(fake) as address:
        monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", connection(host=address))
        yield fake


@pytest.fixture
def evidence(tmp_path: Path) -> dict[str, Any]:
    """Evidence on version 1 of ``flights``, with its predictions."""
    import duckdb

    path = tmp_path / "p.parquet"
    duckdb.sql(
        f"COPY (SELECT i % 2 AS label, i % 2 * 0.5 + 0.2 AS score FROM range(50) t(i)) TO '{path}'"
    )
    return {
        "model_name": "flights",
        "run_id": "run1",
        "version": "1",
        "candidate": "boosting",
        "predictions": str(path),
    }


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Keep what Airflow is asked to show, and park as it does."""
    shown: dict[str, Any] = {}

    def park(self: Any, context: Any) -> None:
        shown.update(body=self.body, users=self.assigned_users, params=self.serialized_params)
        raise Parked

    monkeypatch.setattr(HITLOperator, "execute", park)
    return shown


@pytest.fixture
def verdict(ledger: Ledger, evidence: dict[str, Any]) -> dict[str, Any]:
    """The passing verdict on the evidence, on record."""
    operator = gate(evidence, GOOD)
    return operator.execute(context_of(operator))


@pytest.fixture
def profile(tmp_path: Path) -> str:
    """A profile to measure drift from."""
    return profiled(tmp_path)


@pytest.fixture
def same(tmp_path: Path) -> str:
    """Data like those of the profile."""
    return write(tmp_path / "same.parquet", rows=700)


@pytest.fixture
def moved(tmp_path: Path) -> str:
    """Data that drifted from the profile."""
    return write(tmp_path / "moved.parquet", add=60.0)


@pytest.fixture
def elsewhere() -> MemoryFileSystem:
    """An object store, as ``ObjectStoragePath`` finds it under ``memory://``."""
    files = MemoryFileSystem()
    attach("memory", fs=files)
    return files
