"""The quarantine: what was refused, and how it leaves when it is repaired."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import feedback_quarantine

BY_HAND = 0  # no batch has this number: a person said that it is nothing


class Refused(NamedTuple):
    """A record that waits for repair."""

    id: int
    source: str
    place: str
    raw: str


def waiting(store: Store, ids: Collection[int] | None = None) -> Iterator[Refused]:
    """Yield what waits for repair, all or those of ``ids``, oldest first."""
    table = feedback_quarantine.c
    statement = (
        sa.select(table.id, table.source, table.place, table.raw)
        .where(table.resolved_batch.is_(None))
        .order_by(table.id)
    )
    with store.read() as connection:
        options = connection.execution_options(yield_per=1000)
        for row in options.execute(statement):
            if ids is None or row.id in ids:
                yield Refused(*row)


def resolve(connection: sa.Connection, ids: Sequence[int], batch: int) -> int:
    """Say that ``batch`` took in what waited under ``ids``; return how many that were."""
    table = feedback_quarantine.c
    statement = (
        feedback_quarantine.update()
        .where(table.id == sa.bindparam("number"), table.resolved_batch.is_(None))
        .values(resolved_batch=batch)
    )
    changed = 0
    for start in range(0, len(ids), 1000):
        rows: list[dict[str, Any]] = [{"number": number} for number in ids[start : start + 1000]]
        changed += connection.execute(statement, rows).rowcount
    return changed
