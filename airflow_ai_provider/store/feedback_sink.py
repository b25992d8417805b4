"""What the sinks of feedback share, the store's tables and a Delta table for volume.

One suite of tests holds both to the same (``tests/store/test_feedback_batches.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
