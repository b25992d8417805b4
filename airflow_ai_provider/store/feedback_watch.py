"""One look at the store for everybody who waits for feedback: a single statement."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.exceptions import CaseState
from airflow_ai_provider.core.feedback.watching import Ask, Seen
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import superseded
from airflow_ai_provider.store.feedback_opinions import scored_since
from airflow_ai_provider.store.schema import (
    UtcDateTime,
    exception_case,
    feedback,
    feedback_batch,
    feedback_place,
    feedback_watch,
)
from airflow_ai_provider.store.upsert import dialect_insert

_TEXT = sa.Text()


def look(store: Store, asks: Iterable[Ask], *, after: int | None = None) -> Seen:
    """Return what the store knows of all that is asked, in one statement.

    ``after`` is the batch up to which what came in is known; None when nothing is.
    """
    asked = list(asks)
    parts = [_newest(store)]
    if counted := sorted({ask.model_name for ask in asked if ask.counts}):
        parts.append(_counts(counted))
    for days in sorted({ask.score_days for ask in asked if ask.score_days is not None}):
        models = sorted({ask.model_name for ask in asked if ask.score_days == days})
        parts.append(_scores(models, days))
    if read := sorted({ask.model_name for ask in asked if ask.reads}):
        parts.append(_in_tables(read))
    if queued := sorted({ask.model_name for ask in asked if ask.queue}):
        parts.append(_queues(queued))
    if after is not None and any(ask.news for ask in asked):
        parts.append(_batches(after))
    if keys := sorted({ask.key for ask in asked if ask.key is not None}):
        parts.append(_kept(keys))
    with store.read() as connection:
        rows = connection.execute(sa.union_all(*parts)).all()
    return _seen(rows, store)


def keep(store: Store, states: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep how far watchers have come, by key."""
    if not states:
        return
    with store.write() as connection:
        now = store.utcnow(connection)
        statement = dialect_insert(connection, feedback_watch)
        renewed = {name: statement.excluded[name] for name in ("state", "updated_at")}
        connection.execute(
            statement.on_conflict_do_update(index_elements=["key"], set_=renewed),
            [
                {"key": key, "state": dict(state), "updated_at": now}
                for key, state in sorted(states.items())
            ],
        )


def kept(store: Store, key: str) -> Mapping[str, Any] | None:
    """Return what is kept under ``key``; None when nothing is."""
    statement = sa.select(feedback_watch.c.state).where(feedback_watch.c.key == key)
    with store.read() as connection:
        found: Mapping[str, Any] | None = connection.execute(statement).scalar_one_or_none()
        return found


def newest_batch(store: Store) -> int:
    """Return the number of the newest batch; 0 with none."""
    with store.read() as connection:
        found = connection.execute(sa.select(sa.func.max(feedback_batch.c.id))).scalar_one()
        return int(found or 0)


def _row(
    kind: str,
    *,
    name: Any = None,
    part: Any = None,
    number: Any = None,
    value: Any = None,
    at: Any = None,
    more: Any = None,
) -> list[sa.ColumnElement[Any]]:
    def of(what: Any, kind: sa.types.TypeEngine[Any]) -> sa.ColumnElement[Any]:
        return sa.cast(sa.null() if what is None else what, kind)

    return [
        sa.literal_column(f"'{kind}'").label("kind"),
        of(name, _TEXT).label("name"),
        of(part, _TEXT).label("part"),
        of(number, sa.BigInteger()).label("number"),
        of(value, sa.Float()).label("value"),
        of(at, UtcDateTime()).label("at"),
        of(more, _TEXT).label("more"),
    ]


def _newest(store: Store) -> sa.Select[Any]:
    now = None if store.is_sqlite else sa.func.clock_timestamp()
    return sa.select(*_row("newest", number=sa.func.max(feedback_batch.c.id), at=now))


def _counts(models: list[str]) -> sa.Select[Any]:
    table = feedback.c
    return (
        sa.select(*_row("count", name=table.model_name, part=table.partition, number=_ALL))
        .where(table.model_name.in_(models), ~superseded())
        .group_by(table.model_name, table.partition)
    )


def _scores(models: list[str], days: float) -> sa.Select[Any]:
    table, since = feedback.c, datetime.now(timezone.utc) - timedelta(days=days)
    mean = sa.func.avg(table.score)
    label = sa.literal(repr(days))
    return (
        sa.select(*_row("score", name=table.model_name, part=label, number=_ALL, value=mean))
        .where(*scored_since(models, since))
        .group_by(table.model_name)
    )


def _in_tables(models: list[str]) -> sa.Select[Any]:
    table = feedback_place.c
    return sa.select(*_row("table", name=table.model_name)).where(table.model_name.in_(models))


def _queues(models: list[str]) -> sa.Select[Any]:
    table = exception_case.c
    return (
        sa.select(
            *_row("queue", name=table.model_name, number=_ALL, at=sa.func.min(table.created_at))
        )
        .where(table.model_name.in_(models), table.state == CaseState.OPEN.value)
        .group_by(table.model_name)
    )


def _batches(after: int) -> sa.Select[Any]:
    table = feedback_batch.c
    return sa.select(*_row("batch", number=table.id, more=table.news)).where(table.id > after)


def _kept(keys: list[str]) -> sa.Select[Any]:
    table = feedback_watch.c
    return sa.select(*_row("kept", name=table.key, more=table.state)).where(table.key.in_(keys))


def _seen(rows: Iterable[Any], store: Store) -> Seen:
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row.kind, []).append(row)
    (newest,) = found["newest"]
    now = datetime.now(timezone.utc) if store.is_sqlite else newest.at
    return Seen(
        counts={(row.name, row.part): row.number for row in found.get("count", ())},
        scores={
            (row.name, float(row.part)): (row.number, row.value) for row in found.get("score", ())
        },
        queues={
            row.name: (row.number, (now - row.at).total_seconds()) for row in found.get("queue", ())
        },
        batches=[(row.number, json.loads(row.more)) for row in found.get("batch", ())],
        last_batch=newest.number or 0,
        in_tables=sorted({row.name for row in found.get("table", ())}),
        kept={row.name: json.loads(row.more) for row in found.get("kept", ())},
    )


_ALL = sa.func.count()
