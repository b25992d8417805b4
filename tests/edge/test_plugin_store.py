"""The store behind the plugin's routes: kept while it is the same, never longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_ai_provider.core.errors import StoreNotFoundError
from airflow_ai_provider.plugins._store import OpenStore
from airflow_ai_provider.services.store import StoreAddress
from airflow_ai_provider.store.engine import Store


def at(path: Path, **options: str) -> StoreAddress:
    return StoreAddress(url=f"sqlite:///{path}", delta_options=options)


def test_it_is_opened_once(tmp_path: Path) -> None:
    path, found = tmp_path / "a.db", OpenStore()
    Store.open(f"sqlite:///{path}").close()
    assert found.at(at(path)) is found.at(at(path))
    other = found.at(at(path, AWS_REGION="eu-west-1"))
    assert other.delta_options == {"AWS_REGION": "eu-west-1"}


def test_another_address_is_another_store(tmp_path: Path) -> None:
    found = OpenStore()
    for name in ("a", "b"):
        Store.open(f"sqlite:///{tmp_path / name}.db").close()
    first, second = (found.at(at(tmp_path / f"{name}.db")) for name in ("a", "b"))
    assert (first.path, second.path) == (tmp_path / "a.db", tmp_path / "b.db")


def test_a_file_that_is_gone_or_another_is_noticed(tmp_path: Path) -> None:
    path, found = tmp_path / "a.db", OpenStore()
    Store.open(f"sqlite:///{path}").close()
    first = found.at(at(path))
    first.close()
    path.rename(tmp_path / "before.db")
    with pytest.raises(StoreNotFoundError):
        found.at(at(path))
    Store.open(f"sqlite:///{path}").close()
    assert found.at(at(path)) is not first
