"""The store behind the plugin's routes: kept while it is the same, never longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_ai_provider.core.errors import StoreNotFoundError
from airflow_ai_provider.plugins._store import OpenStore
from airflow_ai_provider.store.engine import Store


def test_it_is_opened_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    Store.open(url).close()
    found = OpenStore()
    assert found.at(url) is found.at(url)


def test_another_address_is_another_store(tmp_path: Path) -> None:
    found = OpenStore()
    for name in ("a", "b"):
        Store.open(f"sqlite:///{tmp_path / name}.db").close()
    first, second = (found.at(f"sqlite:///{tmp_path / name}.db") for name in ("a", "b"))
    assert (first.path, second.path) == (tmp_path / "a.db", tmp_path / "b.db")


def test_a_file_that_is_gone_or_another_is_noticed(tmp_path: Path) -> None:
    path, found = tmp_path / "a.db", OpenStore()
    Store.open(f"sqlite:///{path}").close()
    first = found.at(f"sqlite:///{path}")
    first.close()
    path.rename(tmp_path / "before.db")
    with pytest.raises(StoreNotFoundError):
        found.at(f"sqlite:///{path}")
    Store.open(f"sqlite:///{path}").close()
    assert found.at(f"sqlite:///{path}") is not first
