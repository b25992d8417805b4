"""What becomes of a record that comes in: a row of the store, or of the quarantine."""

from __future__ import annotations

import errno
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_ai_provider.adapters.feedback_files import raw_text
from airflow_ai_provider.core.errors import FeedbackError, FeedbackRecordError
from airflow_ai_provider.core.feedback.comments import Comments, treat, treat_raw
from airflow_ai_provider.core.feedback.parse import parse
from airflow_ai_provider.core.feedback.quick import QuickRows, Row, row_of
from airflow_ai_provider.core.feedback.source import SourceRecord
from airflow_ai_provider.store.feedback_forgotten import Forgotten
from airflow_ai_provider.store.feedback_sink import Stage

CLOCK_SKEW = timedelta(days=1)  # what the clock of a source may be ahead of ours
FORGOTTEN = "it was forgotten on request and is not kept again"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


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

    @property
    def each(self) -> bool:
        """Whether each record has to be looked at by itself."""
        return bool(self.forgotten) or self.terms.comments is not Comments.KEEP

    def quick(self, *, not_after: datetime) -> QuickRows | None:
        """Return what makes rows of many records; None when each has to be looked at."""
        if self.each:
            return None
        return QuickRows(
            mapping=self.terms.mapping, model_name=self.terms.model_name, not_after=not_after
        )

    def refused(self, source: str, found: SourceRecord, reason: str) -> Row:
        """Return a record that does not fit as a row of the quarantine."""
        raw = raw_text(found.raw)
        if reason == FORGOTTEN or (self.forgotten and self.forgotten.stands_in(raw)):
            raw, reason = "", FORGOTTEN
        kept = treat_raw(raw, self.terms.comments, self.terms.comment_field)
        digest = hashlib.sha256(raw.encode()).hexdigest()
        return (storable(source)[-1000:], found.place, digest, kept, storable(reason)[:500])


def together(quick: QuickRows | None, some: Sequence[SourceRecord]) -> list[Row] | None:
    """Return the rows of records that are all plain; None when each has to be looked at."""
    if quick is None:
        return None
    return quick.rows([None if found.problem else found.document for found in some])


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


def storable(text: str) -> str:
    """Return ``text`` as any database can keep it."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
