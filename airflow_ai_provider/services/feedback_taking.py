"""Records on their way from a source to where they wait: as many at a time as are plain."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, cast

from airflow_ai_provider.adapters.feedback_lines import LineBlock
from airflow_ai_provider.adapters.spool import Spool
from airflow_ai_provider.core.errors import FeedbackRecordError
from airflow_ai_provider.core.feedback.source import Piece, SourceRecord
from airflow_ai_provider.services.feedback_sorting import (
    Sorting,
    latest_moment,
    spool_all,
    spooled,
    together,
)
from airflow_ai_provider.store.feedback_sink import ColumnStage, Stage

_CHUNK, _CHUNK_BYTES, _ABOUT = 500, 4 * 2**20, 500
_READERS = 2
_LEAST = 64 * 2**10  # bytes that are worth the libraries of columns


class Taking:
    """Takes in the records of pieces: whole blocks, a few hundred records, or one by one.

    What waits in columns is read into them by threads of its own, whose libraries need no Python,
    while the next blocks are; it is taken in the order in which it came.
    """

    def __init__(self, sorting: Sorting, good: Stage, bad: Spool) -> None:
        self._sorting, self._good, self._bad = sorting, good, bad
        self._not_after = latest_moment()
        self._quick = sorting.quick(not_after=self._not_after)
        self._reader: Callable[[bytes], Any] | None = None
        if not sorting.each and isinstance(good, ColumnStage):
            self._reader = good.reader(
                mapping=sorting.terms.mapping,
                model_name=sorting.terms.model_name,
                not_after=self._not_after,
            )
        self._threads = ThreadPoolExecutor(_READERS, "feedback-columns")
        self._ahead: deque[tuple[str, LineBlock, Future[Any]]] = deque()

    def __enter__(self) -> Taking:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def take(self, source: str, piece: Piece) -> None:
        """Take in a piece of a source; what was read ahead is in only after ``settle``."""
        if self._reader is not None and isinstance(piece, LineBlock) and len(piece.data) >= _LEAST:
            read = self._threads.submit(self._reader, piece.data)
            self._ahead.append((source, piece, read))
            self.settle(but=_READERS)
            return
        self.settle()
        self._take(source, piece)

    def settle(self, *, but: int = 0) -> None:
        """Take in what was read ahead, all ``but`` so many blocks."""
        while len(self._ahead) > but:
            source, piece, read = self._ahead.popleft()
            columns = read.result()
            if columns is None:
                self._take(source, piece)
            else:
                cast("ColumnStage", self._good).take(columns)

    def _take(self, source: str, piece: Piece) -> None:
        if self._quick is None or not isinstance(piece, LineBlock):
            self._few(source, piece)
            return
        for part in piece.parts():
            rows = self._quick.lines(part.data)
            if rows is None:
                self._few(source, part)
            else:
                spool_all(self._good, rows, len(part.data))

    def _few(self, source: str, piece: Piece) -> None:
        for some, size in _chunks(piece):
            rows = together(self._quick, some)
            if rows is not None:
                spool_all(self._good, rows, size)
                continue
            for found in some:
                self._one(source, found)

    def _one(self, source: str, found: SourceRecord) -> None:
        reason = found.problem
        if reason is None:
            try:
                row = self._sorting.row(found.document, not_after=self._not_after)
            except FeedbackRecordError as error:
                reason = error.message
            else:
                spooled(self._good, row)
                return
        spooled(self._bad, self._sorting.refused(source, found, reason))


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
