"""Feedback for volume: the records in a Delta table, all that belongs to a batch in the store.

The table is committed to while the batch's transaction in the store is open. Whatever dies between
the two leaves records without a batch: read again they are duplicates, and the batch of that is
recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from airflow_ai_provider.adapters.arrow_stage import ArrowStage
from airflow_ai_provider.core.feedback.quick import Row
from airflow_ai_provider.services.feedback_records import TableRecords, address_of, table_at
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import FeedbackStore, First, Pieces
from airflow_ai_provider.store.feedback_places import note_place
from airflow_ai_provider.store.feedback_sink import BatchCounts, Stage


class DeltaFeedback(FeedbackStore):
    """Feedback in the Delta table at ``address``; quarantine, batches and positions in a store.

    Spark, DuckDB and polars read the table as it is: a row for each revision, its columns those of
    the contract, ``content_hash`` and ``sequence`` (the order of arrival). It is not partitioned:
    the name of a model may be longer than that of a folder.
    """

    def __init__(
        self, store: Store, address: str, options: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(store)
        self.table = table_at(store, address, options)
        self._read = TableRecords(store, [self.table])

    def stage(self) -> ArrowStage:
        """Return where records wait until their batch is written."""
        return self.table.stage()

    def write_batch(
        self,
        records: Pieces | Stage,
        quarantined: Iterable[Sequence[Row]],
        *,
        sources: Sequence[str],
        run_key: str | None = None,
        first: First | None = None,
    ) -> BatchCounts:
        """Write a batch: see ``FeedbackStore``."""
        with (
            self._waiting(records) as stage,
            self.table.staged(stage) as staged,
            self.alone() as connection,
        ):
            batch = self.open_batch(connection, sources, run_key)
            if first is not None:
                first(connection, batch)
            bad = self.refuse(connection, quarantined, batch)
            note_place(connection, address_of(self.table.address), sorted(stage.models))
            added = staged.commit({"run_key": run_key})
            counts = BatchCounts.of(
                batch,
                offered=added.offered,
                news=added.news,
                revised=added.revised,
                quarantined=bad,
            )
            self.close_batch(connection, counts)
        return counts

    @contextmanager
    def _waiting(self, records: Pieces | Stage) -> Iterator[ArrowStage]:
        if isinstance(records, ArrowStage):
            yield records
            return
        with self.stage() as stage:
            for piece in cast("Pieces", records):
                stage.extend(piece)
            yield stage

    def news(self, run_key: str) -> dict[str, int]:
        """Return, per model, how many records a task instance added over all its tries."""
        total: dict[str, int] = {}
        for meta in self.table.metas():
            if meta.get("run_key") == run_key:
                for model, count in meta["news"].items():
                    total[model] = total.get(model, 0) + count
        return total

    def count(self, model_name: str, partition: str | None = None) -> int:
        """Return how many effective records there are for a model, and a partition if named."""
        return self._read.count(model_name, partition)

    def outcomes(self, model_name: str) -> Iterator[bytes]:
        """Yield the effective labelled records that name a prediction: see ``FeedbackRecords``."""
        yield from self._read.outcomes(model_name)

    def said(self, model_name: str) -> Iterator[bytes]:
        """Yield the effective records that name a prediction: see ``FeedbackRecords``."""
        yield from self._read.said(model_name)

    def totals(self) -> dict[str, Any]:
        """Return what is there over all time: records of the table, batches of the store."""
        return self._read.totals()
