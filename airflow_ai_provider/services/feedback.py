"""Feedback, whole: take it in, measure the live model on it, decide on retraining.

Works without Airflow: ``FeedbackService(open_store()).ingest(["outcomes.jsonl"])``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters import prediction_log
from airflow_ai_provider.adapters.delta import DeltaTable
from airflow_ai_provider.core.feedback.metrics import VersionMetrics, measure
from airflow_ai_provider.core.feedback.parse import read_mapping
from airflow_ai_provider.core.feedback.policy import RetrainDecision, read_date
from airflow_ai_provider.core.feedback.source import FeedbackSource
from airflow_ai_provider.core.gate import GateDraft
from airflow_ai_provider.services.feedback_delta import DeltaFeedback
from airflow_ai_provider.services.feedback_files import local_sources
from airflow_ai_provider.services.feedback_intake import take_in
from airflow_ai_provider.services.feedback_records import records_of, tables_of
from airflow_ai_provider.services.feedback_settings import FeedbackSettings
from airflow_ai_provider.services.feedback_sorting import Terms
from airflow_ai_provider.services.retraining import (
    Facts,
    RetrainingService,
    read_champion,
    read_policy,
)
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import FeedbackStore, First
from airflow_ai_provider.store.feedback_records import FeedbackRecords
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.feedback_sink import BatchCounts

__all__ = ["FeedbackService", "read_policy", "write_predictions"]

log = logging.getLogger(__name__)


class FeedbackService:
    """Feedback in one store; settings come from the environment unless given.

    With ``delta``, the address of a Delta table, records are taken in there and all else into the
    store, which notes that; ``delta_options`` is what the storage of its tables wants to know.
    Whatever reads feedback on a model finds it wherever it is.
    """

    def __init__(
        self,
        store: Store,
        settings: FeedbackSettings | None = None,
        *,
        delta: str | None = None,
        delta_options: Mapping[str, str] | None = None,
    ) -> None:
        self.store = store
        self.settings = settings or FeedbackSettings.from_environment()
        self.records = DeltaFeedback(store, delta, delta_options) if delta else FeedbackStore(store)
        self.series = MetricSeries(store)
        self._delta, self._delta_options = delta, delta_options

    def records_of(self, model_name: str | None = None) -> FeedbackRecords:
        """Return the feedback on a model, or on all, wherever it was taken in.

        The store knows which Delta tables hold some; one that was named is read too.
        """
        return records_of(
            self.store, model_name, delta=self._delta, delta_options=self._delta_options
        )

    def tables(self) -> list[DeltaTable]:
        """Return the Delta tables that hold feedback: those that the store knows, one named.

        :raises FeedbackSinkError: one that it knows is not there.
        """
        tables, noted = tables_of(self.store, delta=self._delta, delta_options=self._delta_options)
        for table in tables:
            if table.address in noted:
                table.check()
        return tables

    def ingest(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        mapping: Mapping[str, str] | None = None,
        model_name: str | None = None,
        run_key: str | None = None,
        clock_may_go_back: bool = False,
    ) -> BatchCounts:
        """Take in every record of the files at ``paths``, as one batch.

        A path that is named is always read; of a folder or a glob the files that are new and
        complete. ``mapping`` is ours to theirs; ``model_name`` stands for records that name no
        model; ``run_key`` is the task instance that asks, over its tries.

        :raises FeedbackSourceError: a file is not there or not whole; nothing was taken.
        :raises FeedbackError: the mapping means nothing, or the clock went back.
        """
        names = read_mapping(mapping)
        given = [paths] if isinstance(paths, (str, Path)) else list(paths)
        return self.ingest_from(
            local_sources(self.store, given, mapping=names),
            mapping=names,
            model_name=model_name,
            run_key=run_key,
            clock_may_go_back=clock_may_go_back,
        )

    def ingest_from(
        self,
        sources: Sequence[FeedbackSource],
        *,
        mapping: Mapping[str, str] | None = None,
        model_name: str | None = None,
        run_key: str | None = None,
        clock_may_go_back: bool = False,
        first: First | None = None,
    ) -> BatchCounts:
        """Take in every record of ``sources``, as one batch: see ``core.feedback.source``."""
        terms = Terms(
            mapping=read_mapping(mapping),
            model_name=model_name,
            comments=self.settings.feedback_comments,
            clock_may_go_back=clock_may_go_back,
        )
        return take_in(self.records, sources, terms=terms, run_key=run_key, first=first)

    def news(self, run_key: str) -> dict[str, int]:
        """Return, per model, how many records a task instance added over all its tries."""
        return self.records.news(run_key)

    def count(self, model_name: str, partition: str | None = None) -> int:
        """Return how many effective records a model has, in a partition if named."""
        return self.records_of(model_name).count(model_name, partition)

    def status(self) -> dict[str, Any]:
        """Return the counts over all time: stored, revised, quarantined, and what they are of."""
        return self.records_of().totals()

    def metrics(
        self,
        *,
        model_name: str,
        predictions: str,
        partition: str,
        group: str | None = "day",
        slices: Sequence[str] = (),
    ) -> list[VersionMetrics]:
        """Measure every version that predicted for ``partition`` and add the points to the series.

        ``predictions`` is the path, glob or folder of the Parquet prediction log.

        :raises FeedbackSourceError: the log cannot be read or lacks a column.
        """
        joined = prediction_log.join(
            predictions,
            self.records_of(model_name).outcomes(model_name),
            model_name=model_name,
            partition=partition,
            group=group,
            slices=slices,
        )
        measured = [
            measure(
                found.version,
                found.labels,
                found.scores,
                predictions=found.predictions,
                groups=found.groups,
                slices=found.slices,
            )
            for found in joined
        ]
        if not measured:
            log.warning("%s has no predictions for %s in %s", model_name, partition, predictions)
        key = {"model_name": model_name, "partition": partition}
        self.series.write([{**key, **point} for found in measured for point in found.points()])
        return measured

    def decide(
        self,
        *,
        model_name: str,
        policy: Mapping[str, Any] | str | Path,
        metrics: Mapping[str, Any] | None,
        champion: Mapping[str, Any] | None,
        partition: str,
        window_end: date | str,
        newest_data: date | str | None,
        in_flight: bool = False,
    ) -> tuple[RetrainDecision, GateDraft]:
        """Decide on retraining and return the decision with the gate record to be written.

        ``metrics`` is what the metrics operator returned, ``champion`` has ``version`` and
        ``trained_through`` (or a registry's ``training.through``).

        :raises RetrainPolicyError: the policy, the champion or a day means nothing.
        """
        facts = Facts(
            model_name=model_name,
            policy=read_policy(policy),
            metrics=metrics,
            champion=read_champion(champion),
            partition=partition,
            window_end=read_date(window_end, "window_end"),
            newest_data=read_date(newest_data, "newest_data") if newest_data else None,
            in_flight=in_flight,
        )
        return RetrainingService(self.store).weigh(facts)


def write_predictions(
    root: str,
    rows: Any,
    *,
    model_name: str,
    version: str,
    partition: str,
    predicted_at: datetime | None = None,
) -> str:
    """Write a version's predictions for a partition to the prediction log; return the file.

    ``rows`` (a dict of columns, a pandas DataFrame or the path of a Parquet file) has
    ``prediction_id``, ``score``, ``day`` and the columns of slices. The file is
    ``ROOT/MODEL/VERSION/PARTITION.parquet``; a retry replaces it whole.

    :raises FeedbackSourceError: a column is missing or holds what it may not.
    """
    return str(
        prediction_log.write(
            root,
            rows,
            model_name=model_name,
            version=version,
            partition=partition,
            predicted_at=predicted_at or datetime.now(timezone.utc),
        )
    )
