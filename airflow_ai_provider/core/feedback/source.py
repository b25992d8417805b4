"""The port that feedback comes in through: whatever can say its records one by one.

A source of your own is a class with these three members, handed to ``FeedbackService.ingest_from``
or to ``FeedbackIngestOperator(source=...)``:

    class Reviews:
        name = "crm://reviews"  # stands in the batch, in the quarantine and beside the position

        def read(self, position):
            since = position["since"] if position else "2020-01-01T00:00:00Z"
            for number, review in enumerate(fetch_reviews(since), 1):
                self._last = review["changed"]
                document = {"feedback_id": review["id"], "score": review["stars"], ...}
                yield SourceRecord(f"review {number}", review, document)

        def position(self):
            return {"since": self._last}

``read`` may say a record again: the same record adds nothing. What it raises (as
``FeedbackSourceError``) leaves nothing of the batch. The position is kept in the transaction that
keeps the records, so it never runs ahead of them.

A source whose records come in pieces (the blocks of a file) may return ``InPieces`` from ``read``:
it gives them one by one like any other, and to a reader that can take a whole piece, by the piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, Protocol

Position = Mapping[str, Any]  # JSON


class SourceRecord(NamedTuple):
    """A record as the source has it: where, the raw form, what it says, or why it says nothing."""

    place: str
    raw: Any
    document: Any
    problem: str | None = None


Piece = Iterable[SourceRecord]


class InPieces(Iterator[SourceRecord]):
    """The records of ``pieces``, each of which is gone through once, before the next."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self.pieces = pieces
        self._records = chain.from_iterable(pieces)

    def __next__(self) -> SourceRecord:
        """Return the next record."""
        return next(self._records)


def pieces_of(records: Iterator[SourceRecord]) -> Iterator[Piece]:
    """Return the pieces that records come in; those that come one by one are one piece."""
    return records.pieces if isinstance(records, InPieces) else iter((records,))


class FeedbackSource(Protocol):
    """Where feedback comes from."""

    @property
    def name(self) -> str:
        """What the source is called: an address, without a password."""

    def read(self, position: Position | None) -> Iterator[SourceRecord]:
        """Yield the records after ``position``, which an earlier read left; None is from the start.

        :raises FeedbackSourceError: it is not there, not whole, or not what it was.
        """

    def position(self) -> Position | None:
        """Return where the next read goes on, once this one is over; None keeps nothing.

        :raises FeedbackSourceError: the source changed since it was read.
        """
