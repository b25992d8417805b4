"""One look for everybody who waits for feedback, wherever it is kept.

The store answers in one statement. Counts and scores are taken anew when a batch came in since,
and every few minutes besides: scores age, and somebody may be forgotten. Of models that have
feedback in Delta tables too they are read there, when a table or the store has changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_ai_provider.core.errors import FeedbackError
from airflow_ai_provider.core.feedback.watching import Ask, Seen
from airflow_ai_provider.services.feedback_records import TableRecords, tables_of
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_watch import keep, kept, look, newest_batch

_STALE = 300.0  # seconds: scores leave the window of days that is looked at


@dataclass(frozen=True, kw_only=True)
class _Read:
    state: Any
    at: float
    counts: dict[tuple[str, str | None], int]
    scores: dict[tuple[str, float], tuple[int, float]]


@dataclass(frozen=True, kw_only=True)
class _Counted:
    asked: frozenset[tuple[str, bool, float | None]]
    at: float
    seen: Seen


class FeedbackWatch:
    """Looks at one store, again and again; remembers what it read where nothing has changed."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._read: dict[str, _Read] = {}
        self._counted: _Counted | None = None

    def look(self, asks: Iterable[Ask], *, after: int | None = None) -> Seen:
        """Return what is known of all that is asked; ``after`` as in ``store.feedback_watch``.

        What cannot be read is in ``Seen.failed``, for those who ask about that model.
        """
        asked = list(asks)
        seen = self._look(asked, after)
        counts, scores, failed = dict(seen.counts), dict(seen.scores), {}
        for model in seen.in_tables:
            try:
                found = self._of_tables(model, asked, seen)
            except FeedbackError as error:
                failed[model] = error
                continue
            counts = {key: value for key, value in counts.items() if key[0] != model}
            scores = {key: value for key, value in scores.items() if key[0] != model}
            counts |= found.counts
            scores |= found.scores
        return replace(seen, counts=counts, scores=scores, failed=failed)

    def _look(self, asked: list[Ask], after: int | None) -> Seen:
        reads = frozenset((a.model_name, a.counts, a.score_days) for a in asked if a.reads)
        known, now = self._counted, self._clock()
        if known is not None and (now - known.at >= _STALE or not reads <= known.asked):
            known = None
        newest = None if known is None else known.seen.last_batch
        seen = look(self._store, asked, after=after, counted_at=newest)
        if known is not None and seen.last_batch == newest:
            return replace(seen, counts=known.seen.counts, scores=known.seen.scores)
        self._counted = _Counted(asked=reads, at=now, seen=seen)
        return seen

    def _of_tables(self, model: str, asked: Iterable[Ask], seen: Seen) -> _Read:
        mine = [ask for ask in asked if ask.model_name == model]
        days = sorted({ask.score_days for ask in mine if ask.score_days is not None})
        tables, noted = tables_of(self._store, model)
        versions = [(table.address, table.version()) for table in tables]
        state, now = (versions, seen.last_batch, days), self._clock()
        known = self._read.get(model)
        if known is not None and known.state == state and now - known.at < _STALE:
            return known
        records, today = TableRecords(self._store, tables, noted=noted), datetime.now(timezone.utc)
        scores: dict[tuple[str, float], tuple[int, float]] = {}
        for number in days:
            found = records.scores([model], today - timedelta(days=number))
            scores |= {(name, number): value for name, value in found.items()}
        counts = records.counts([model]) if any(ask.counts for ask in mine) else {}
        self._read[model] = _Read(state=state, at=now, counts=counts, scores=scores)
        return self._read[model]


@dataclass(frozen=True, kw_only=True)
class TaskPlace:
    """From which batch on records are new to a task, over its runs and their tries.

    What is kept is the place and, for the run that moved it last, the one before: a try that is
    repeated must not wait for records that it has counted already.
    """

    store: Store
    key: str
    run: str

    def begin(self) -> int:
        """Return the batch after which records are new; now, where nothing is kept yet."""
        state = kept(self.store, self.key)
        if state is None:
            begun = newest_batch(self.store)
            self._keep(begun, begun)
            return begun
        return int(state["before"] if state["run"] == self.run else state["batch"])

    def succeeded(self, batch: int) -> None:
        """Keep that the records up to ``batch`` are new no longer, but to this run."""
        self._keep(batch, self.begin())

    def _keep(self, batch: int, before: int) -> None:
        keep(self.store, {self.key: {"batch": batch, "before": before, "run": self.run}})
