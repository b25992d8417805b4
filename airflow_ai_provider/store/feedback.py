"""Feedback in the store: batches that are whole or not there, each record exactly once.

A record's key is its id with the hash of its content. A batch is one transaction: its records, its
quarantine and its counts appear together or not at all, whatever kills the process; read again, the
same records are duplicates. Which revision is effective is told when asked (newest by
``observed_at``, then by arrival), so no concurrent writer can leave a wrong mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import sqlalchemy as sa

from airflow_ai_provider.core.feedback.lines import OUTCOME, SAID
from airflow_ai_provider.core.feedback.quick import ROW, Row
from airflow_ai_provider.core.feedback.window import read_window
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_lines import lines
from airflow_ai_provider.store.feedback_sink import QUARANTINE_COLUMNS, BatchCounts, Stage
from airflow_ai_provider.store.feedback_staging import CopyStage
from airflow_ai_provider.store.feedback_writing import insert_new
from airflow_ai_provider.store.schema import (
    feedback,
    feedback_batch,
    feedback_quarantine,
)

_WRITERS_LOCK = 0x61695F66  # "ai_f": on a server, batches are written one after another

_COUNTS = ("read", "stored", "revised", "duplicates", "quarantined")
First = Callable[[sa.Connection, int], None]
Pieces = Iterable[Sequence[Row]]


class FeedbackStore:
    """The feedback tables of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def stage(self) -> Stage | None:
        """Return where records wait best until their batch is written; None has no such place."""
        return None if self.store.is_sqlite else CopyStage(self.store)

    def write_batch(
        self,
        records: Pieces | Stage,
        quarantined: Iterable[Sequence[Row]],
        *,
        sources: Sequence[str],
        run_key: str | None = None,
        first: First | None = None,
    ) -> BatchCounts:
        """Write a batch in one transaction and return its counts.

        ``records`` and ``quarantined`` come in pieces, so that memory stays flat, or the records
        wait in ``stage``. A record that is refused again at the same place is counted again and
        kept once. ``first`` is called with the connection and the batch before its records are
        written, when no other writer can be.
        """
        stage = records if isinstance(records, CopyStage) else None
        with self.alone(stage) as connection:
            before = (
                connection.execute(sa.select(sa.func.max(feedback.c.sequence))).scalar_one() or 0
            )
            batch = self.open_batch(connection, sources, run_key)
            if first is not None:
                first(connection, batch)
            once = False  # whether no two of the batch have one id, as far as is known
            if stage is not None:
                once, offered = stage.insert(connection, batch), stage.count
            else:
                offered = insert_new(connection, feedback, ROW, cast("Pieces", records), batch)
            bad = self.refuse(connection, quarantined, batch)
            news = _news(connection, before)
            counts = BatchCounts.of(
                batch,
                offered=offered,
                news=news,
                revised=_revised(connection, before) if news and (before or not once) else 0,
                quarantined=bad,
            )
            self.close_batch(connection, counts)
        return counts

    def open_batch(
        self, connection: sa.Connection, sources: Sequence[str], run_key: str | None
    ) -> int:
        """Begin a batch; return its number."""
        empty = dict.fromkeys(_COUNTS, 0)
        statement = feedback_batch.insert().values(
            run_key=run_key,
            sources=list(sources),
            **empty,
            news={},
            created_at=self.store.utcnow(connection),
        )
        found = connection.execute(statement.returning(feedback_batch.c.id))
        return int(found.scalar_one())

    def refuse(
        self, connection: sa.Connection, quarantined: Iterable[Sequence[Row]], batch: int
    ) -> int:
        """Put records into the quarantine; return how many."""
        return insert_new(connection, feedback_quarantine, QUARANTINE_COLUMNS, quarantined, batch)

    def close_batch(self, connection: sa.Connection, counts: BatchCounts) -> None:
        """Write down what became of a batch."""
        connection.execute(
            feedback_batch.update()
            .where(feedback_batch.c.id == counts.batch)
            .values(news=dict(counts.news), **{n: getattr(counts, n) for n in _COUNTS})
        )

    @contextmanager
    def alone(self, stage: CopyStage | None = None) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction beside which no other writes feedback.

        It is that of ``stage``, if given.
        """
        with self.store.write() if stage is None else stage.writing() as connection:
            if not self.store.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITERS_LOCK)))
            yield connection

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
        conditions = [*effective(model_name), *of_part(partition)]
        statement = sa.select(sa.func.count()).select_from(feedback).where(*conditions)
        with self.store.read() as connection:
            return int(connection.execute(statement).scalar_one())

    def outcomes(self, model_name: str) -> Iterator[bytes]:
        """Yield the effective labelled records that name a prediction: see ``FeedbackRecords``."""
        labelled = feedback.c.label_number.is_not(None)
        yield from lines(self.store, OUTCOME, [*_predicted(model_name), labelled])

    def said(self, model_name: str) -> Iterator[bytes]:
        """Yield the effective records that name a prediction: see ``FeedbackRecords``."""
        yield from lines(self.store, SAID, _predicted(model_name))

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
        waiting = sa.select(sa.func.count()).where(feedback_quarantine.c.resolved_batch.is_(None))
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
        """Return what waits for repair: source, place, reason and the raw record, oldest first."""
        table = feedback_quarantine.c
        statement = (
            sa.select(*(table[name] for name in ("id", "batch_id", *QUARANTINE_COLUMNS)))
            .where(table.resolved_batch.is_(None))
            .order_by(table.id)
        )
        with self.store.read() as connection:
            return [dict(row._mapping) for row in connection.execute(statement.limit(limit))]


def _news(connection: sa.Connection, before: int) -> dict[str, int]:
    statement = (
        sa.select(feedback.c.model_name, sa.func.count())
        .where(feedback.c.sequence > before)
        .group_by(feedback.c.model_name)
    )
    return dict(tuple(row) for row in connection.execute(statement))


def _revised(connection: sa.Connection, before: int) -> int:
    if before == 0:  # in one pass over the index, instead of a look for each record
        ids = sa.select(feedback.c.feedback_id).distinct().subquery()
        rows = sa.select(sa.func.count()).select_from(feedback).scalar_subquery()
        different = sa.select(sa.func.count()).select_from(ids).scalar_subquery()
        return int(connection.execute(sa.select(rows - different)).scalar_one())
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


def effective(model_name: str | None) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions that leave the newest revision of each id, where it is of a model (None: any)."""
    if model_name is None:
        return (~superseded(),)
    return (feedback.c.model_name == model_name, ~superseded())


def _predicted(model_name: str) -> list[sa.ColumnElement[bool]]:
    """Conditions: the record is effective, of a model, and names a prediction."""
    other = feedback.alias("other")
    several = sa.select(other.c.feedback_id).group_by(other.c.feedback_id)
    of_model, newest = effective(model_name)
    # nearly every id has one revision: one pass over the index tells, not a look for each
    alone = feedback.c.feedback_id.not_in(several.having(sa.func.count() > 1))
    return [of_model, feedback.c.prediction_id.is_not(None), sa.or_(alone, newest)]


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
