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
from airflow_ai_provider.adapters.delta import DeltaTable
from airflow_ai_provider.core.feedback.quick import Row
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import FeedbackStore, First, Pieces
from airflow_ai_provider.store.feedback_sink import BatchCounts, Stage

_EFFECTIVE = (
    "(SELECT * FROM feedback QUALIFY row_number() OVER"
    " (PARTITION BY feedback_id ORDER BY observed_at DESC, sequence DESC) = 1)"
)
_KEYS = ("feedback_id", "model_name", "observed_at", "sequence")
_AT = "strftime(make_timestamp(epoch_us(observed_at)), '%Y-%m-%dT%H:%M:%S.%f+00:00')"


class DeltaFeedback(FeedbackStore):
    """Feedback in the Delta table at ``address``; quarantine, batches and positions in a store.

    Spark, DuckDB and polars read the table as it is: a row for each revision, its columns those of
    the contract, ``content_hash`` and ``sequence`` (the order of arrival), partitioned by model.
    """

    def __init__(
        self, store: Store, address: str, options: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(store)
        self.table = DeltaTable(address, options)

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
        where = 'model_name = $model AND ($part IS NULL OR "partition" = $part)'
        with self.table.reading((*_KEYS, "partition")) as connection:
            [(count,)] = connection.execute(
                f"SELECT count(*) FROM {_EFFECTIVE} WHERE {where}",  # noqa: S608 - ours
                {"model": model_name, "part": partition},
            ).fetchall()
        return int(count)

    def outcomes(self, model_name: str, *, size: int = 50_000) -> Iterator[Sequence[Row]]:
        """Yield the effective labelled records that name a prediction: see ``FeedbackStore``."""
        yield from self._effective(
            model_name,
            f"prediction_id, label_number, source_kind = 'outcome', {_AT}, sequence",
            columns=("prediction_id", "label_number", "source_kind"),
            condition="label_number IS NOT NULL",
            size=size,
        )

    def said(self, model_name: str, *, size: int = 50_000) -> Iterator[Sequence[Row]]:
        """Yield the effective records that name a prediction: see ``FeedbackStore``."""
        names = ("prediction_id", "label", "label_number", "value", "score", "source_kind")
        yield from self._effective(
            model_name,
            "prediction_id, feedback_id, label, label_number, value, score, source_kind,"
            f" {_AT}, sequence",
            columns=names,
            condition="true",
            size=size,
        )

    def totals(self) -> dict[str, Any]:
        """Return what is there over all time: records of the table, batches of the store."""
        found = super().totals()
        with self.table.reading(_KEYS) as connection:
            [(rows, ids)] = connection.execute(
                "SELECT count(*), count(DISTINCT feedback_id) FROM feedback"
            ).fetchall()
        with self.table.reading(_KEYS) as connection:
            models = connection.execute(
                "SELECT model_name, count(DISTINCT feedback_id) FROM feedback GROUP BY 1 ORDER BY 1"
            ).fetchall()
        return {**found, "stored": ids, "revised": rows - ids, "models": dict(models)}

    def _effective(
        self,
        model_name: str,
        selected: str,
        *,
        columns: Sequence[str],
        condition: str,
        size: int,
    ) -> Iterator[Sequence[Row]]:
        with self.table.reading((*_KEYS, *columns)) as connection:
            result = connection.execute(
                f"SELECT {selected} FROM {_EFFECTIVE}"  # noqa: S608 - ours
                f" WHERE model_name = $model AND prediction_id IS NOT NULL AND {condition}",
                {"model": model_name},
            )
            while rows := result.fetchmany(size):
                yield rows
