"""Fixtures that every folder of tests shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_ai_provider.store.engine import MEMORY_URL, Store


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of each kind, empty: what one can do every other can."""
    url = MEMORY_URL if request.param == "memory" else f"sqlite:///{tmp_path / 'airflow_ai.db'}"
    opened = Store.open(url)
    yield opened
    opened.close()
