"""How far each source of feedback has been read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.source import Position
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import feedback_position
from airflow_ai_provider.store.upsert import dialect_insert

_AT_ONCE = 500  # names in one question: databases limit its parameters


def read_positions(store: Store, names: Iterable[str]) -> dict[str, Position]:
    """Return the positions of the sources called ``names`` that have one."""
    keys = {_key(name): name for name in names}
    found: dict[str, Position] = {}
    with store.read() as connection:
        for some in _pieces(list(keys)):
            statement = sa.select(
                feedback_position.c.source_hash, feedback_position.c.position
            ).where(feedback_position.c.source_hash.in_(some))
            for key, position in connection.execute(statement):
                found[keys[key]] = position
    return found


def write_positions(
    connection: sa.Connection, positions: Mapping[str, Position], *, batch: int
) -> None:
    """Keep ``positions`` by the name of their source, in the transaction of ``batch``."""
    if not positions:
        return
    insert = dialect_insert(connection, feedback_position)
    changed = {name: insert.excluded[name] for name in ("position", "batch_id")}
    rows: list[dict[str, Any]] = [
        {
            "source_hash": _key(name),
            "source": name[-1000:],
            "position": dict(position),
            "batch_id": batch,
        }
        for name, position in positions.items()
    ]
    connection.execute(
        insert.on_conflict_do_update(index_elements=["source_hash"], set_=changed), rows
    )


def _key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _pieces(keys: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]
