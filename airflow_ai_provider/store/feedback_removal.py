"""Remove records for good: every revision, what the quarantine has of them, and the room they took.

The ledger is not touched: it holds hashes and references, so its chain stays whole.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exception_forgetting import forget_people
from airflow_ai_provider.store.feedback import FeedbackStore
from airflow_ai_provider.store.feedback_forgotten import ATTRIBUTE, add
from airflow_ai_provider.store.schema import feedback, feedback_export, feedback_quarantine

_PIECE = 500


@dataclass(frozen=True, kw_only=True)
class Removed:
    """How much was removed, and the exported files that may still hold some of it."""

    records: int
    revisions: int
    quarantined: int
    exports: Sequence[dict[str, Any]]


def remove(
    records: FeedbackStore, *, ids: Collection[str], persons: Collection[str], fields: Sequence[str]
) -> Removed:
    """Remove the records of these ids and persons; ``fields`` are those that name a person.

    :raises StoreError: the store refused; nothing was removed.
    """
    store = records.store
    with records.alone() as connection, _without_trace(connection, store):
        found = _ids_of(connection, persons, fields) | set(ids)
        models, revisions = _delete(connection, sorted(found))
        quarantined = _delete_quarantined(connection, {*found, *persons})
        forget_people(connection, persons)
        now = store.utcnow(connection)
        entries = [("feedback_id", one) for one in found]
        entries += [(field, person) for field in fields for person in persons]
        add(connection, entries, now)
        exports = _exports(connection, models)
    _give_back(store)
    return Removed(
        records=len(revisions),
        revisions=sum(revisions.values()),
        quarantined=quarantined,
        exports=exports,
    )


def stored_ids(store: Store, persons: Collection[str], fields: Sequence[str]) -> set[str]:
    """Return the ids of records of which any revision names one of ``persons`` in ``fields``."""
    with store.read() as connection:
        return _ids_of(connection, persons, fields)


def note_export(store: Store, path: str, model_name: str | None, records: int) -> None:
    """Note that records were written to ``path``."""
    with store.write() as connection:
        connection.execute(
            feedback_export.insert().values(
                path=path[-1000:],
                model_name=model_name,
                records=records,
                at=store.utcnow(connection),
            )
        )


def _ids_of(connection: sa.Connection, persons: Collection[str], fields: Sequence[str]) -> set[str]:
    """Return the ids of records of which any revision names one of ``persons``."""
    if not persons:
        return set()
    names = [field.removeprefix(ATTRIBUTE) for field in fields if field.startswith(ATTRIBUTE)]
    columns = [feedback.c[field] for field in fields if not field.startswith(ATTRIBUTE)]
    # every attribute is compared as parsed: in its text a name may be written in several ways
    statement = sa.select(feedback.c.feedback_id, feedback.c.attributes, *columns).where(
        sa.or_(
            *(column.in_(list(persons)) for column in columns),
            *(feedback.c.attributes.contains(json.dumps(name)) for name in names),
        )
    )
    wanted, found = set(persons), set()
    for feedback_id, attributes, *values in connection.execute(statement):
        told = json.loads(attributes) if attributes else {}
        if not wanted.isdisjoint([*values, *(str(told.get(name)) for name in names)]):
            found.add(feedback_id)
    return found


def _delete(connection: sa.Connection, ids: Sequence[str]) -> tuple[set[str], dict[str, int]]:
    """Delete records; return their models, and how many revisions each record had."""
    models: set[str] = set()
    revisions: dict[str, int] = {}
    for start in range(0, len(ids), _PIECE):
        mine = feedback.c.feedback_id.in_(ids[start : start + _PIECE])
        statement = sa.select(feedback.c.feedback_id, feedback.c.model_name).where(mine)
        for feedback_id, model in connection.execute(statement):
            models.add(model)
            revisions[feedback_id] = revisions.get(feedback_id, 0) + 1
        connection.execute(feedback.delete().where(mine))
    return models, revisions


def _delete_quarantined(connection: sa.Connection, texts: Collection[str]) -> int:
    """Delete what was refused and holds one of ``texts`` in whatever spelling; count it."""
    spellings = {form for text in texts for form in _spellings(text)}
    table = feedback_quarantine.c
    gone = [
        number
        for number, raw in connection.execute(sa.select(table.id, table.raw))
        if any(form in raw for form in spellings)
    ]
    for start in range(0, len(gone), _PIECE):
        connection.execute(
            feedback_quarantine.delete().where(table.id.in_(gone[start : start + _PIECE]))
        )
    return len(gone)


def _spellings(text: str) -> Iterator[str]:
    yield text
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield text.replace('"', '""')  # as CSV doubles it


def _exports(connection: sa.Connection, models: Collection[str]) -> list[dict[str, Any]]:
    table = feedback_export.c
    statement = (
        sa.select(table.path, table.model_name, table.records, table.at)
        .where(sa.or_(table.model_name.is_(None), table.model_name.in_(list(models))))
        .order_by(table.id)
    )
    return [dict(row._mapping) for row in connection.execute(statement)]


@contextmanager
def _without_trace(connection: sa.Connection, store: Store) -> Iterator[None]:
    """Overwrite what is deleted meanwhile: SQLite else leaves it in pages that are free."""
    if not store.is_sqlite:
        yield
        return
    before = connection.exec_driver_sql("PRAGMA secure_delete").scalar_one()
    connection.exec_driver_sql("PRAGMA secure_delete=ON")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA secure_delete={int(before)}")


def _give_back(store: Store) -> None:
    """Have the database clear what deleted rows left: in its log, in dead rows."""
    with store.glance() as connection:
        if not store.is_sqlite:
            connection.exec_driver_sql("VACUUM feedback, feedback_quarantine")
        elif store.path is not None:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
