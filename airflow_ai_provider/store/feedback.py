"""Feedback in the store: batches that are whole or not there, each record exactly once.

A record's key is its id with the hash of its content. A batch is one transaction: its records, its
quarantine and its counts appear together or not at all, whatever kills the process; read again, the
same records are duplicates. Which revision is effective is told when asked (newest by
``observed_at``, then by arrival), so no concurrent writer can leave a wrong mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.record import FeedbackRecord, moment_text
from airflow_ai_provider.core.feedback.window import read_window
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import (
    feedback,
    feedback_batch,
    feedback_quarantine,
)
from airflow_ai_provider.store.upsert import dialect_insert

RECORD_COLUMNS = tuple(
    column.name for column in feedback.columns if column.name not in {"sequence", "batch_id"}
)
QUARANTINE_COLUMNS = ("source", "place", "raw_hash", "raw", "reason")
_WRITERS_LOCK = 0x61695F66  # "ai_f": on a server, batches are written one after another

Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class BatchCounts:
    """What became of the records of one batch: ``read`` is always the sum of the other four."""

    read: int
    stored: int
    revised: int
    duplicates: int
    quarantined: int
    batch: int
    news: Mapping[str, int] = field(default_factory=dict)  # per model: stored and revised


def row_of(record: FeedbackRecord) -> Row:
    """Return ``record`` as values of ``RECORD_COLUMNS``, in the form a driver takes."""
    return (
        record.feedback_id,
        record.content_hash,
        record.model_name,
        moment_text(record.observed_at),
        record.label_json,
        record.label_number,
        record.value,
        record.score,
        record.prediction_id,
        record.model_version,
        record.partition,
        record.source,
        record.source_kind.value,
        record.comment,
        record.attributes_json,
    )


class FeedbackStore:
    """The feedback tables of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def write_batch(
        self,
        records: Iterable[Sequence[Row]],
        quarantined: Iterable[Sequence[Row]],
        *,
        sources: Sequence[str],
        run_key: str | None = None,
    ) -> BatchCounts:
        """Write a batch in one transaction and return its counts.

        ``records`` and ``quarantined`` come in pieces, so that memory stays flat. A record that is
        refused again at the same place is counted again and kept once.
        """
        with self.store.write() as connection:
            if not self.store.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITERS_LOCK)))
            before = (
                connection.execute(sa.select(sa.func.max(feedback.c.sequence))).scalar_one() or 0
            )
            batch = _open_batch(connection, self.store, sources, run_key)
            good = _insert(connection, feedback, RECORD_COLUMNS, records, batch)
            bad = _insert(connection, feedback_quarantine, QUARANTINE_COLUMNS, quarantined, batch)
            news = _news(connection, before)
            revised = _revised(connection, before)
            stored = sum(news.values()) - revised
            counts = BatchCounts(
                read=good + bad,
                stored=stored,
                revised=revised,
                duplicates=good - stored - revised,
                quarantined=bad,
                batch=batch,
                news=news,
            )
            connection.execute(
                feedback_batch.update()
                .where(feedback_batch.c.id == batch)
                .values(
                    read=counts.read,
                    stored=stored,
                    revised=revised,
                    duplicates=counts.duplicates,
                    quarantined=bad,
                    news=dict(news),
                )
            )
        return counts

    def news(self, run_key: str) -> dict[str, int]:
        """Return, per model, how many records a task instance added over all its tries."""
        statement = sa.select(feedback_batch.c.news).where(feedback_batch.c.run_key == run_key)
        total: dict[str, int] = {}
        with self.store.read() as connection:
            for (news,) in connection.execute(statement):
                for model, count in news.items():
                    total[model] = total.get(model, 0) + count
        return total

    def count(self, model_name: str, partition: str | None = None) -> int:
        """Return how many effective records there are for a model, and a partition if named."""
        statement = sa.select(sa.func.count()).select_from(feedback).where(*effective(model_name))
        if partition is not None:
            statement = statement.where(feedback.c.partition == partition)
        with self.store.read() as connection:
            return int(connection.execute(statement).scalar_one())

    def outcomes(self, model_name: str, *, size: int = 50_000) -> Iterator[Sequence[Row]]:
        """Yield the effective labelled records that name a prediction, in pieces of ``size``.

        Rows are (prediction_id, label_number, is_outcome, observed_at as text, sequence).
        """
        statement = (
            sa.select(
                feedback.c.prediction_id,
                feedback.c.label_number,
                (feedback.c.source_kind == "outcome").label("is_outcome"),
                sa.type_coerce(feedback.c.observed_at, sa.String),
                feedback.c.sequence,
            )
            .where(*effective(model_name))
            .where(feedback.c.prediction_id.is_not(None), feedback.c.label_number.is_not(None))
        )
        with self.store.read() as connection:
            result = connection.execution_options(yield_per=size).execute(statement)
            for rows in result.partitions():
                yield [tuple(row) for row in rows]

    def totals(self) -> dict[str, Any]:
        """Return what is there over all time, whole and per model."""
        revisions = sa.select(
            sa.func.count(), sa.func.count(sa.distinct(feedback.c.feedback_id))
        ).select_from(feedback)
        per_model = (
            sa.select(feedback.c.model_name, sa.func.count(sa.distinct(feedback.c.feedback_id)))
            .group_by(feedback.c.model_name)
            .order_by(feedback.c.model_name)
        )
        batches = sa.select(
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(feedback_batch.c.read), 0),
            sa.func.coalesce(sa.func.sum(feedback_batch.c.duplicates), 0),
            sa.type_coerce(
                sa.func.max(feedback_batch.c.created_at), feedback_batch.c.created_at.type
            ),
        )
        waiting = sa.select(sa.func.count()).select_from(feedback_quarantine)
        with self.store.read() as connection:
            rows, ids = connection.execute(revisions).one()
            count, read, duplicates, last = connection.execute(batches).one()
            return {
                "stored": ids,
                "revised": rows - ids,
                "quarantined": connection.execute(waiting).scalar_one(),
                "duplicates": int(duplicates),
                "read": int(read),
                "batches": count,
                "last_ingested_at": last,
                "models": dict(tuple(row) for row in connection.execute(per_model)),
            }

    def quarantine(self, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return what was refused: source, place, reason and the raw record, oldest first."""
        statement = sa.select(
            *(feedback_quarantine.c[name] for name in ("id", "batch_id", *QUARANTINE_COLUMNS))
        ).order_by(feedback_quarantine.c.id)
        with self.store.read() as connection:
            return [dict(row._mapping) for row in connection.execute(statement.limit(limit))]


def _open_batch(
    connection: sa.Connection, store: Store, sources: Sequence[str], run_key: str | None
) -> int:
    statement = (
        feedback_batch.insert()
        .values(
            run_key=run_key,
            sources=list(sources),
            read=0,
            stored=0,
            revised=0,
            duplicates=0,
            quarantined=0,
            news={},
            created_at=store.utcnow(connection),
        )
        .returning(feedback_batch.c.id)
    )
    return int(connection.execute(statement).scalar_one())


def _insert(
    connection: sa.Connection,
    table: sa.Table,
    columns: Sequence[str],
    pieces: Iterable[Sequence[Row]],
    batch: int,
) -> int:
    """Insert what is not there yet; return how many rows were offered."""
    # Handed to the driver as it stands: per-row type processing would cost more than the insert.
    names = (*columns, "batch_id")
    statement = dialect_insert(connection, table).on_conflict_do_nothing()
    compiled = statement.compile(dialect=connection.dialect, column_keys=list(names))
    text, offered = str(compiled), 0
    for piece in pieces:
        rows: Any = [(*row, batch) for row in piece]
        offered += len(rows)
        if not rows:
            continue
        if compiled.positional:
            order = [names.index(name) for name in compiled.positiontup or names]
            if order != list(range(len(names))):
                rows = [tuple(row[i] for i in order) for row in rows]
        else:
            rows = [dict(zip(names, row, strict=True)) for row in rows]
        connection.exec_driver_sql(text, rows)
    return offered


def _news(connection: sa.Connection, before: int) -> dict[str, int]:
    statement = (
        sa.select(feedback.c.model_name, sa.func.count())
        .where(feedback.c.sequence > before)
        .group_by(feedback.c.model_name)
    )
    return dict(tuple(row) for row in connection.execute(statement))


def _revised(connection: sa.Connection, before: int) -> int:
    earlier = feedback.alias("earlier")
    statement = (
        sa.select(sa.func.count())
        .select_from(feedback)
        .where(
            feedback.c.sequence > before,
            sa.exists().where(
                earlier.c.feedback_id == feedback.c.feedback_id,
                earlier.c.sequence < feedback.c.sequence,
            ),
        )
    )
    return int(connection.execute(statement).scalar_one())


def effective(model_name: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions that leave the newest revision of each id, where it is of a model."""
    return (feedback.c.model_name == model_name, ~superseded())


def superseded() -> sa.ColumnElement[bool]:
    """Condition: there is a newer revision of the record."""
    newer = feedback.alias("newer")
    return sa.exists().where(
        newer.c.feedback_id == feedback.c.feedback_id,
        newer.c.sequence != feedback.c.sequence,
        sa.or_(
            newer.c.observed_at > feedback.c.observed_at,
            sa.and_(
                newer.c.observed_at == feedback.c.observed_at,
                newer.c.sequence > feedback.c.sequence,
            ),
        ),
    )


def of_part(partition: str | None) -> list[sa.ColumnElement[bool]]:
    """Conditions: the record is of a partition, or was observed in a window of days."""
    if partition is None:
        return []
    if (window := read_window(partition)) is None:
        return [feedback.c.partition == partition]
    return [feedback.c.observed_at >= window.begin, feedback.c.observed_at < window.end]
