"""Stores that several processes open at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_ai_provider.store.engine import Store
from tests.stores import store_file


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        found: str = request.getfixturevalue("postgres_store")
        return found
    found = store_file(tmp_path / "airflow_ai.db")
    Store.open(found).close()  # in the mode in which it is written
    return found


@pytest.fixture
def server(postgres_store: str) -> str:
    return postgres_store
