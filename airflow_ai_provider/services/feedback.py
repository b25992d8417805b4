"""Feedback, whole: take it in, measure the live model on it, decide on retraining.

Works without Airflow: ``FeedbackService(open_store()).ingest(["outcomes.jsonl"])``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters import prediction_log
from airflow_ai_provider.core.errors import RetrainPolicyError
from airflow_ai_provider.core.feedback.metrics import VersionMetrics, measure
from airflow_ai_provider.core.feedback.parse import read_mapping
from airflow_ai_provider.core.feedback.policy import (
    Champion,
    RetrainDecision,
    RetrainPolicy,
    decide,
    read_date,
)
from airflow_ai_provider.core.feedback.source import FeedbackSource
from airflow_ai_provider.core.gate import GateDraft, GateKind, Origin, Verdict
from airflow_ai_provider.services.feedback_delta import DeltaFeedback
from airflow_ai_provider.services.feedback_files import local_sources
from airflow_ai_provider.services.feedback_intake import Terms, take_in
from airflow_ai_provider.services.settings import FeedbackSettings
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback import FeedbackStore, First
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.feedback_sink import BatchCounts
from airflow_ai_provider.store.ledger import Ledger

log = logging.getLogger(__name__)


class FeedbackService:
    """Feedback in one store; settings come from the environment unless given.

    With ``delta``, the address of a Delta table, the records are kept there and all else in the
    store; ``delta_options`` is what its storage wants to know.
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
        return self.records.count(model_name, partition)

    def status(self) -> dict[str, Any]:
        """Return the counts over all time: stored, revised, quarantined, and what they are of."""
        return self.records.totals()

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
            self.records.outcomes(model_name),
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
        rules = read_policy(policy)
        holder = _champion(champion)
        end = read_date(window_end, "window_end")
        newest = read_date(newest_data, "newest_data") if newest_data else None
        figures = _figures_of(metrics, holder)
        decision = decide(
            rules,
            champion=holder,
            metrics=figures,
            window_end=end,
            newest_data=newest,
            last_retrain=self._last_retrain(model_name, before=end),
            in_flight=in_flight,
        )
        draft = GateDraft(
            kind=GateKind.RETRAIN,
            subject=f"mlflow://{model_name}/{holder.version}"
            if holder
            else f"mlflow://{model_name}",
            verdict=Verdict.PASS if decision.retrain else Verdict.FAIL,
            criteria=decision.criteria,
            evidence={
                "model_name": model_name,
                "partition": partition,
                "window_end": end,
                "newest_data": newest,
                "champion": asdict(holder) if holder else None,
                "metrics": figures,
                "policy": asdict(rules),
                "summary": decision.summary,
            },
            origin=Origin(),
        )
        return decision, draft

    def _last_retrain(self, model_name: str, *, before: date) -> date | None:
        ends = [
            read_date(record.evidence["window_end"], "window_end")
            for record in Ledger(self.store).search(
                kind=GateKind.RETRAIN, subject_prefix=f"mlflow://{model_name}/"
            )
            if record.verdict == Verdict.PASS.value and record.evidence.get("window_end")
        ]
        return max((end for end in ends if end < before), default=None)


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


def read_policy(policy: Mapping[str, Any] | str | Path) -> RetrainPolicy:
    """Return a policy from a mapping, or from the YAML file at a path.

    :raises RetrainPolicyError: there is no such file, or it means nothing.
    """
    if isinstance(policy, Mapping):
        return RetrainPolicy.from_dict(policy)
    import yaml

    try:
        found = yaml.safe_load(Path(policy).expanduser().read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RetrainPolicyError(
            f"The retrain policy {policy} cannot be read: {error}.", remedy="Check the file."
        ) from error
    return RetrainPolicy.from_dict(found)


def _champion(found: Mapping[str, Any] | None) -> Champion | None:
    if not found:
        return None
    if found.get("version") is None:
        raise RetrainPolicyError(
            "The champion names no version.", remedy="Give {version, trained_through}, or None."
        )
    through = found.get("trained_through") or (found.get("training") or {}).get("through")
    return Champion(
        version=str(found["version"]),
        trained_through=read_date(through, "trained_through") if through else None,
    )


def _figures_of(
    metrics: Mapping[str, Any] | None, champion: Champion | None
) -> dict[str, Any] | None:
    """Return the champion's figures among all that were measured, without the slices."""
    if metrics is None or champion is None:
        return None
    for found in metrics.get("versions", ()):
        if str(found["version"]) == champion.version:
            return {name: value for name, value in found.items() if name != "slices"}
    return None
