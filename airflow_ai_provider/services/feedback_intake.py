"""Take records in from any source: read, check, spool, and write as one batch.

A batch is whole or not there. All sources are read into temporary files first and looked at once
more when the last one is through, so that a source that breaks, or changes meanwhile, has written
nothing; then one transaction keeps the records, what was refused, the counts and the positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

import sqlalchemy as sa

from airflow_ai_provider.adapters.spool import Spool
from airflow_ai_provider.core.errors import FeedbackError
from airflow_ai_provider.core.feedback.source import FeedbackSource, Position, pieces_of
from airflow_ai_provider.services.feedback_sorting import Sorting, Terms
from airflow_ai_provider.services.feedback_taking import Taking
from airflow_ai_provider.services.garbage import fewer_collections
from airflow_ai_provider.store.feedback import FeedbackStore, First
from airflow_ai_provider.store.feedback_forgotten import Forgotten, newest, read_forgotten
from airflow_ai_provider.store.feedback_positions import read_positions, write_positions
from airflow_ai_provider.store.feedback_sink import BatchCounts, Stage
from airflow_ai_provider.store.schema import feedback_batch

_BACK = timedelta(minutes=5)  # what a clock is set back by when it is set right
_MOST_TRIES = 5


class _ForgottenMeanwhileError(FeedbackError):
    """Somebody's records were removed while a source was read that may have them."""


def take_in(
    records: FeedbackStore,
    sources: Sequence[FeedbackSource],
    *,
    terms: Terms,
    run_key: str | None = None,
    first: First | None = None,
) -> BatchCounts:
    """Take in every record of ``sources`` as one batch.

    :raises FeedbackSourceError: a source is not there, not whole or changed; nothing was taken.
    :raises FeedbackError: the clock went back, or there is no room for temporary files.
    :raises StoreUnavailableError: the store does not answer, or its disk is full.
    """
    names = [source.name for source in sources]
    known = read_positions(records.store, names)
    for _ in range(_MOST_TRIES):
        forgotten = read_forgotten(records.store)
        with fewer_collections(), records.stage() or Spool() as good, Spool() as bad:
            positions = _read(sources, known, Sorting(terms, forgotten), good, bad)
            with suppress(_ForgottenMeanwhileError):
                return write_spooled(
                    records,
                    (good, bad),
                    sources=names,
                    run_key=run_key,
                    forgotten=forgotten,
                    terms=terms,
                    positions=positions,
                    first=first,
                )
    raise FeedbackError(
        "Records were removed again and again while the sources were read.",
        remedy="Try again when nobody uses `airflow-ai feedback forget`.",
    )


def write_spooled(
    records: FeedbackStore,
    spools: tuple[Stage, Spool],
    *,
    sources: Sequence[str],
    forgotten: Forgotten,
    terms: Terms,
    run_key: str | None = None,
    positions: Mapping[str, Position] | None = None,
    first: First | None = None,
) -> BatchCounts:
    """Write what was spooled, and all that belongs to it, in one transaction.

    :raises FeedbackError: the clock went back, or a person was forgotten since it was read.
    """

    def begin(connection: sa.Connection, batch: int) -> None:
        if newest(connection) != forgotten.last:
            raise _ForgottenMeanwhileError(
                "Records were removed for good since these were read.", remedy="Try again."
            )
        refuse_earlier_clock(records, connection, batch, terms)
        write_positions(connection, positions or {}, batch=batch)
        if first is not None:
            first(connection, batch)

    good, bad = spools
    return records.write_batch(
        good.pieces() if isinstance(good, Spool) else good,
        bad.pieces(),
        sources=sources,
        run_key=run_key,
        first=begin,
    )


def _read(
    sources: Sequence[FeedbackSource],
    known: Mapping[str, Position],
    sorting: Sorting,
    good: Stage,
    bad: Spool,
) -> dict[str, Position]:
    with Taking(sorting, good, bad) as taking:
        for source in sources:
            for piece in pieces_of(source.read(known.get(source.name))):
                taking.take(source.name, piece)
        taking.settle()
    told = {source.name: source.position() for source in sources}
    return {name: position for name, position in told.items() if position is not None}


def refuse_earlier_clock(
    records: FeedbackStore, connection: sa.Connection, batch: int, terms: Terms
) -> None:
    """Refuse a batch that would stand before one that is there.

    :raises FeedbackError: the clock of the store went back.
    """
    if terms.clock_may_go_back:
        return
    statement = (
        sa.select(feedback_batch.c.created_at)
        .where(feedback_batch.c.id < batch)
        .order_by(feedback_batch.c.id.desc())
        .limit(1)
    )
    last = connection.execute(statement).scalar_one_or_none()
    now = records.store.utcnow(connection)
    if last is not None and now < last - _BACK:
        raise FeedbackError(
            f"The clock went back: it says {now.isoformat()}, and the batch before this one was "
            f"written at {last.isoformat()}.",
            remedy="Set the clock right; if it was the earlier one that was wrong, take this batch "
            "with --clock-may-go-back (clock_may_go_back=True).",
        )
