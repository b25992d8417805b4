"""Feedback behind the connection of the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.configuration import conf

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.prediction_days import LoggedPredictions
    from airflow_ai_provider.adapters.training_set import TrainingSet
    from airflow_ai_provider.services.exceptions import ExceptionService
    from airflow_ai_provider.services.feedback import FeedbackService
    from airflow_ai_provider.services.feedback_settings import FeedbackSettings
    from airflow_ai_provider.store.feedback_sink import BatchCounts


class FeedbackHook(BaseHook):
    """Take in feedback, measure live models and decide on retraining, in one store.

    :param store_conn_id: the connection, of type ``ai_store``.
    :param delta: the address of a Delta table that takes records in instead of the store; whatever
        reads feedback finds it there.
    :param delta_options: what its storage wants to know, such as ``{"AWS_REGION": "eu-west-1"}``.
    """

    conn_name_attr = "store_conn_id"
    default_conn_name = "ai_store_default"
    hook_name = "AI feedback"

    def __init__(
        self,
        store_conn_id: str = default_conn_name,
        *,
        delta: str | None = None,
        delta_options: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.store_conn_id = store_conn_id
        self.delta = delta
        self.delta_options = delta_options
        self._service: FeedbackService | None = None

    def get_conn(self) -> FeedbackService:
        """Return the feedback service on the open store."""
        if self._service is None:
            from airflow_ai_provider.hooks.store import AiStoreHook
            from airflow_ai_provider.services.feedback import FeedbackService

            store = AiStoreHook(self.store_conn_id).get_conn()
            self._service = FeedbackService(
                store, self.settings(), delta=self.delta, delta_options=self.delta_options
            )
        return self._service

    @staticmethod
    def settings() -> FeedbackSettings:
        """Return the settings of ``[ai_provider]`` that are about feedback."""
        from airflow_ai_provider.services.feedback_settings import FeedbackSettings

        names = FeedbackSettings.__annotations__
        return FeedbackSettings.of(
            {name: conf.get("ai_provider", name, fallback="") for name in names}
        )

    def ingest(
        self,
        paths: Any = (),
        *,
        source: Any = None,
        mapping: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> BatchCounts:
        """Take in files, other sources, or both, as one batch.

        ``paths`` are local ones or any address that Airflow's ``ObjectStoragePath`` reads;
        ``source`` is one or several, as in ``FeedbackIngestOperator``; the rest as in
        ``FeedbackService.ingest``.

        :raises FeedbackSourceError: a source is not there, not whole or changed; nothing was taken.
        """
        from airflow_ai_provider.core.feedback.parse import read_mapping
        from airflow_ai_provider.hooks._feedback_files import sources_of
        from airflow_ai_provider.hooks._feedback_sources import open_source

        service, names = self.get_conn(), read_mapping(mapping)
        others = source if isinstance(source, (list, tuple)) else [source] if source else []
        with TemporaryDirectory(prefix="feedback") as folder:
            files = sources_of(service.store, paths, mapping=names, folder=Path(folder))
            found = [*files, *map(open_source, others)]
            return service.ingest_from(found, mapping=names, **arguments)

    def log_predictions(
        self, root: str, rows: Any, *, model_name: str, version: str, **arguments: Any
    ) -> LoggedPredictions:
        """Add what a scoring task predicted to the log at ``root``, once over all its tries.

        As ``services.predictions.log_predictions``; the key is the task instance that runs.
        """
        from airflow.sdk import get_current_context

        from airflow_ai_provider.services.predictions import log_predictions

        if "key" not in arguments:
            ti = get_current_context()["ti"]
            arguments["key"] = [ti.dag_id, ti.run_id, ti.task_id, getattr(ti, "map_index", -1)]
        return log_predictions(root, rows, model_name=model_name, version=version, **arguments)

    def training_set(
        self, target: str, predictions: str, *, model_name: str, **arguments: Any
    ) -> TrainingSet:
        """Join logged predictions with the feedback on them, and write the rows to ``target``.

        As ``services.predictions.make_training_set``.
        """
        from airflow_ai_provider.services.predictions import make_training_set

        records = self.get_conn().records_of(model_name)
        return make_training_set(target, predictions, records, model_name=model_name, **arguments)

    def count(self, model_name: str, partition: str | None = None) -> int:
        """Return how many effective records a model has, in a partition if named."""
        return self.get_conn().count(model_name, partition)

    def exceptions(self) -> ExceptionService:
        """Return the exception queue: claim cases, answer them, give them back."""
        from airflow_ai_provider.services.exceptions import ExceptionService

        return ExceptionService(self.get_conn().store, self.settings())

    def previous(self, model_name: str, environment: str = "production") -> str | None:
        """Return the version that was in an environment before the one that is, by the ledger."""
        from airflow_ai_provider.services.retraining import RetrainingService

        return RetrainingService(self.get_conn().store).previous(model_name, environment)
