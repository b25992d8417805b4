"""What the store knows of models in use, as the criteria ask for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airflow_ai_provider.adapters.shadow import shadow_rows
from airflow_ai_provider.core.errors import FeedbackSourceError, RegistryNotFoundError
from airflow_ai_provider.core.promotion.environments import DEFAULT_PATH
from airflow_ai_provider.core.promotion.evidence import Predictions
from airflow_ai_provider.core.promotion.life import LivePoint, Opinions
from airflow_ai_provider.core.promotion.metrics import NotMeasurableError
from airflow_ai_provider.core.promotion.registry import ModelRegistry
from airflow_ai_provider.services.feedback_records import records_of
from airflow_ai_provider.services.promotion.timeline import MOVES, was_made
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_records import opinion_of
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.ledger import Ledger


class StoreLife:
    """The port ``Life`` on a store, a registry and a prediction log."""

    def __init__(
        self,
        store: Store,
        *,
        registry: Callable[[], ModelRegistry] | None = None,
        predictions: str | None = None,
    ) -> None:
        self.store = store
        self.registry = registry
        self.predictions = predictions

    def opinions(self, model_name: str, version: str) -> Opinions:
        """Return what people think of a version's answers."""
        return opinion_of(records_of(self.store, model_name), model_name, version)

    def live_metric(self, model_name: str, version: str, metric: str) -> LivePoint:
        """Return the newest value of a live metric."""
        points = [
            point
            for point in MetricSeries(self.store).read(model_name, metric=metric)
            if point["model_version"] == version
        ]
        if not points:
            raise NotMeasurableError(f"nobody measured {metric} of version {version} live")
        newest = points[-1]  # the series comes by partition
        if newest["value"] is None:
            raise NotMeasurableError(
                f"{metric} of version {version} has no value in {newest['partition']}"
            )
        return LivePoint(
            value=float(newest["value"]), rows=int(newest["n"]), partition=newest["partition"]
        )

    def shadow(self, model_name: str, version: str, reference: str) -> Predictions:
        """Return the rows that two versions both answered and whose outcome came in."""
        if not self.predictions:
            raise NotMeasurableError("no prediction log is named to compare live answers in")
        try:
            return shadow_rows(
                self.predictions,
                records_of(self.store, model_name).outcomes(model_name),
                model_name=model_name,
                candidate=version,
                reference=reference,
            )
        except FeedbackSourceError as error:
            raise NotMeasurableError(error.message.rstrip(".")) from error

    def champion(self, model_name: str) -> str | None:
        """Return the version in the last environment."""
        if self.registry is None:
            raise NotMeasurableError("no registry was given to ask for the champion")
        try:
            return self.registry().aliases(model_name).get(DEFAULT_PATH.last)
        except RegistryNotFoundError:
            return None

    def feedback(self, model_name: str, days: float) -> int:
        """Return how many records came in during the last ``days``."""
        return records_of(self.store, model_name).came_in(model_name, days)

    def live_models(self, project: str | None) -> Sequence[str]:
        """Return the models that the ledger last put into the last environment.

        A move that names no project counts for each: it might be of this one.
        """
        live: set[str] = set()
        for record in Ledger(self.store).search(kinds=MOVES):
            found = record.evidence
            if not was_made(record) or found["environment"] != DEFAULT_PATH.last:
                continue
            if project is not None and found.get("project") not in {None, project}:
                continue
            if found["to"] is None:
                live.discard(found["model_name"])
            else:
                live.add(found["model_name"])
        return sorted(live)
