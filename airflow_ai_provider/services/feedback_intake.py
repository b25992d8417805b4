"""Take records in from any source: read, check, spool, and write as one batch.

A batch is whole or not there. All sources are read into temporary files first and looked at once
more when the last one is through, so that a source that breaks, or changes meanwhile, has written
nothing; then one transaction keeps the records, what was refused, the counts and the positions.
"""

from __future__ import annotations

import errno
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.adapters.feedback_files import raw_text
from airflow_ai_provider.adapters.spool import Spool
from airflow_ai_provider.core.errors import FeedbackError, FeedbackRecordError
from airflow_ai_provider.core.feedback.comments import Comments, treat, treat_raw
from airflow_ai_provider.core.feedback.parse import parse
from airflow_ai_provider.core.feedback.quick import QuickRows, Row, row_of
from airflow_ai_provider.core.feedback.source import FeedbackSource, Position, SourceRecord
from airflow_ai_provider.services.garbage import fewer_collections
from airflow_ai_provider.store.feedback import FeedbackStore, First
from airflow_ai_provider.store.feedback_forgotten import Forgotten, newest, read_forgotten
from airflow_ai_provider.store.feedback_positions import read_positions, write_positions
from airflow_ai_provider.store.feedback_sink import BatchCounts, Stage
from airflow_ai_provider.store.schema import feedback_batch

CLOCK_SKEW = timedelta(days=1)  # what the clock of a source may be ahead of ours
FORGOTTEN = "it was forgotten on request and is not kept again"
_BACK = timedelta(minutes=5)  # what a clock is set back by when it is set right
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MOST_TRIES = 5
_CHUNK, _CHUNK_BYTES, _ABOUT = 500, 4 * 2**20, 500


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How the records of a source are read.

    ``mapping`` is ours to theirs; ``model_name`` stands for records that name no model;
    ``clock_may_go_back`` takes a batch whose clock is behind that of an earlier one.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    model_name: str | None = None
    comments: Comments = Comments.KEEP
    clock_may_go_back: bool = False

    @property
    def comment_field(self) -> str:
        """The name of the comment in the source."""
        return self.mapping.get("comment", "comment")


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


@dataclass(frozen=True)
class Sorting:
    """Tells a record that fits the contract from one that does not."""

    terms: Terms
    forgotten: Forgotten

    def row(self, document: Any, *, not_after: datetime) -> Row:
        """Return a document as a row of the store.

        :raises FeedbackRecordError: it does not fit; the message is the reason.
        """
        record = parse(
            document,
            mapping=self.terms.mapping,
            model_name=self.terms.model_name,
            not_after=not_after,
        )
        if self.forgotten and self.forgotten.has(record):
            raise FeedbackRecordError(FORGOTTEN)
        if self.terms.comments is not Comments.KEEP:
            record = treat(record, self.terms.comments)
        return row_of(record)

    def quick(self, *, not_after: datetime) -> Callable[[Sequence[SourceRecord]], list[Row] | None]:
        """Return what makes rows of records that are all plain, and None of others."""
        if self.forgotten or self.terms.comments is not Comments.KEEP:
            return lambda _some: None  # each record has to be looked at
        rows = QuickRows(
            mapping=self.terms.mapping, model_name=self.terms.model_name, not_after=not_after
        ).rows

        def quick(some: Sequence[SourceRecord]) -> list[Row] | None:
            return rows([None if found.problem else found.document for found in some])

        return quick

    def refused(self, source: str, found: SourceRecord, reason: str) -> Row:
        """Return a record that does not fit as a row of the quarantine."""
        raw = raw_text(found.raw)
        if reason == FORGOTTEN or (self.forgotten and self.forgotten.stands_in(raw)):
            raw, reason = "", FORGOTTEN
        kept = treat_raw(raw, self.terms.comments, self.terms.comment_field)
        digest = hashlib.sha256(raw.encode()).hexdigest()
        return (storable(source)[-1000:], found.place, digest, kept, storable(reason)[:500])


def _read(
    sources: Sequence[FeedbackSource],
    known: Mapping[str, Position],
    sorting: Sorting,
    good: Stage,
    bad: Spool,
) -> dict[str, Position]:
    not_after = latest_moment()
    quick = sorting.quick(not_after=not_after)
    for source in sources:
        for some, size in _chunks(source.read(known.get(source.name))):
            rows = quick(some)
            if rows is not None:
                spool_all(good, rows, size)
                continue
            for found in some:
                reason = found.problem
                if reason is None:
                    try:
                        row = sorting.row(found.document, not_after=not_after)
                    except FeedbackRecordError as error:
                        reason = error.message
                    else:
                        spooled(good, row)
                        continue
                spooled(bad, sorting.refused(source.name, found, reason))
    told = {source.name: source.position() for source in sources}
    return {name: position for name, position in told.items() if position is not None}


def _chunks(records: Iterable[SourceRecord]) -> Iterator[tuple[list[SourceRecord], int]]:
    """Yield a few hundred records at a time, fewer when they are long, and about their bytes."""
    some: list[SourceRecord] = []
    size = 0
    for found in records:
        some.append(found)
        size += len(found.raw) if type(found.raw) is bytes else _ABOUT
        if len(some) == _CHUNK or size > _CHUNK_BYTES:
            yield some, size
            some, size = [], 0
    if some:
        yield some, size


def latest_moment() -> datetime:
    """Return what a record may be observed at, at the latest."""
    return datetime.now(timezone.utc) + CLOCK_SKEW


def spooled(spool: Stage, row: Row) -> None:
    """Add a row to a spool.

    :raises FeedbackError: there is no room for it.
    """
    spool_all(spool, [row], sum(len(value) for value in row if type(value) is str))


def spool_all(spool: Stage, rows: Sequence[Row], size: int) -> None:
    """Add rows of about ``size`` bytes to a spool.

    :raises FeedbackError: there is no room for them.
    """
    try:
        spool.extend(rows, weight=size)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise FeedbackError(
            f"The folder for temporary files {tempfile.gettempdir()} is full: {error.strerror}. "
            "Nothing of the batch was taken.",
            remedy="Make room there, or set TMPDIR to a folder with room, and try again.",
        ) from error


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


def storable(text: str) -> str:
    """Return ``text`` as any database can keep it."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
