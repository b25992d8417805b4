"""The port that feedback is kept behind: the store's tables, or a Delta table for volume.

One suite of tests holds every sink to it (``tests/store/test_feedback_batches.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from airflow_ai_provider.core.feedback.quick import Row

QUARANTINE_COLUMNS = ("source", "place", "raw_hash", "raw", "reason")


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

    @classmethod
    def of(
        cls, batch: int, *, offered: int, news: Mapping[str, int], revised: int, quarantined: int
    ) -> BatchCounts:
        """Return the counts of a batch that was offered records and added ``news`` of them."""
        added = sum(news.values())
        return cls(
            read=offered + quarantined,
            stored=added - revised,
            revised=revised,
            duplicates=offered - added,
            quarantined=quarantined,
            batch=batch,
            news=news,
        )


class Stage(Protocol):
    """Where the records of a batch wait until it is written."""

    count: int

    def extend(self, rows: Sequence[Row], *, weight: int = 0) -> None:
        """Append rows that take about ``weight`` bytes together.

        :raises AirflowAiError: they cannot wait there.
        """

    def __enter__(self) -> Any:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of what waits."""


@runtime_checkable
class ColumnStage(Stage, Protocol):
    """A stage that takes the records of a file in columns, too."""

    def reader(
        self,
        *,
        mapping: Mapping[str, str] | None = None,
        model_name: str | None = None,
        not_after: datetime | None = None,
    ) -> Callable[[bytes], Any]:
        """Return what makes columns of whole lines of JSON in any thread; None is: not plain."""

    def take(self, columns: Any) -> None:
        """Append what such a reader made.

        :raises AirflowAiError: it cannot wait there.
        """


class FeedbackSink(Protocol):
    """Where batches of feedback go, each whole or not there, each record exactly once."""

    def stage(self) -> Stage | None:
        """Return where records wait best until their batch is written; None has no such place."""

    def write_batch(
        self,
        records: Iterable[Sequence[Row]] | Stage,
        quarantined: Iterable[Sequence[Row]],
        *,
        sources: Sequence[str],
        run_key: str | None = None,
    ) -> BatchCounts:
        """Write a batch and return its counts; pieces keep memory flat, and so does ``stage``.

        :raises AirflowAiError: the sink cannot take it; nothing of the batch is there.
        """

    def news(self, run_key: str) -> dict[str, int]:
        """Return, per model, how many records a task instance added over all its tries."""

    def count(self, model_name: str, partition: str | None = None) -> int:
        """Return how many effective records there are for a model, and a partition if named."""

    def outcomes(self, model_name: str) -> Iterator[Sequence[Row]]:
        """Yield the effective records with a number for a label that name a prediction.

        Rows are (prediction_id, label_number, is_outcome, observed_at as text, sequence).
        """

    def said(self, model_name: str) -> Iterator[Sequence[Row]]:
        """Yield the effective records that name a prediction.

        Rows are (prediction_id, feedback_id, label as JSON, label_number, value, score,
        source_kind, observed_at as text, sequence).
        """

    def totals(self) -> dict[str, Any]:
        """Return what is there over all time, whole and per model."""

    def quarantine(self, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return what was refused, oldest first."""
