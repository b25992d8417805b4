"""Stores that several processes open at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.migrate import migrate


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        found: str = request.getfixturevalue("postgres_url")
        migrate(Store(found))
        return found
    found = f"sqlite:///{tmp_path / 'airflow_ai.db'}"
    Store.open(found).close()
    return found


@pytest.fixture
def server(postgres_url: str) -> str:
    migrate(Store(postgres_url))
    return postgres_url
