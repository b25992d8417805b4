"""A guarded move beside the bare MLflow calls that it makes, and with many versions.

Both sides make the same calls through the same client on the same SQLite database, in turn.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from airflow_ai_provider.adapters.mlflow import RegistrySettings, open_registry
from airflow_ai_provider.services.promotion import PromotionOrder, promote
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.promotion import Promotions
from tests.bench.report import figure

ROUNDS = 40
_OVERHEAD_MS, _GROWTH = 50.0, 1.5
_FEW, _MANY = 10, 1000


def measure(rounds: int = ROUNDS) -> Iterator[dict[str, Any]]:
    """Yield the overhead of a move, and how it grows with the versions of a model."""
    before = dict(os.environ)
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield from _measure(Path(folder), rounds)
    finally:
        os.environ.clear()
        os.environ.update(before)


def _measure(folder: Path, rounds: int) -> Iterator[dict[str, Any]]:
    database = folder / "mlflow.db"
    registry = open_registry(RegistrySettings(tracking_uri=f"sqlite:///{database}"))
    for name, count in (("few", _FEW), ("many", _MANY)):
        registry.create_model(name)
        registry.create_version(name, model_uri=str(folder), run_id=None, tags={})
        _add_versions(database, name, count)
    store = Store.open(f"sqlite:///{folder / 'airflow_ai.db'}")
    promotions = Promotions(store)

    def bare(name: str, version: str) -> None:
        registry.get_version(name, version)
        registry.aliases(name)
        registry.set_alias(name, "dev", version)
        registry.aliases(name)

    def ours(name: str, version: str) -> None:
        order = PromotionOrder(model_name=name, version=version, environment="dev")
        promote(
            order,
            promotions=promotions,
            registry=registry,
            key=f"{name} {time.monotonic_ns()}",
            moved_by="bench",
            decided_by="bench",
        )

    sides: dict[str, Callable[[str], None]] = {}
    for side, made, name in (
        ("ours", ours, "few"),
        ("bare", bare, "beside"),
        ("many", ours, "many"),
    ):
        if name == "beside":
            registry.create_model(name)
            registry.create_version(name, model_uri=str(folder), run_id=None, tags={})
            _add_versions(database, name, _FEW)
        sides[side] = lambda version, made=made, name=name: made(name, version)  # type: ignore[misc]
    spent: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds + 2):
        for side, move in sides.items():
            began = time.process_time()
            move(str(1 + number % _FEW))
            if number >= 2:  # the first ones make connections
                spent[side].append(1000 * (time.process_time() - began))
    cost = {side: median(values) for side, values in spent.items()}
    yield figure(
        "overhead of a move over the bare MLflow calls",
        cost["ours"] - cost["bare"],
        "CPU ms",
        _OVERHEAD_MS,
        peer=f"bare calls: {cost['bare']:.1f} CPU ms",
        ratio=cost["ours"] / cost["bare"],
    )
    yield figure(
        f"a move with {_MANY:,} versions over one with {_FEW}",
        cost["many"] / cost["ours"],
        "x",
        _GROWTH,
        peer=f"with {_FEW}: {cost['ours']:.1f} CPU ms",
    )
    store.close()


def _add_versions(database: Path, name: str, count: int) -> None:
    """Copy the model's first version until there are ``count``: by client it takes minutes."""
    with sqlite3.connect(database) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute(
            "SELECT * FROM model_versions WHERE name = ? AND version = 1", [name]
        ).fetchone()
        columns = found.keys()
        marks = ", ".join("?" for _ in columns)
        rows = [
            [number if column == "version" else found[column] for column in columns]
            for number in range(2, count + 1)
        ]
        connection.executemany(
            f"INSERT INTO model_versions ({', '.join(columns)}) VALUES ({marks})", rows
        )
    connection.close()
