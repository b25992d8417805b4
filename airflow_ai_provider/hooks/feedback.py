"""Feedback behind the connection of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from airflow_ai_provider.services.exceptions import ExceptionService
    from airflow_ai_provider.services.feedback import FeedbackService


class FeedbackHook(BaseHook):
    """Take in feedback, measure live models and decide on retraining, in one store.

    :param store_conn_id: the connection, of type ``ai_store``.
    """

    conn_name_attr = "store_conn_id"
    default_conn_name = "ai_store_default"
    hook_name = "AI feedback"

    def __init__(self, store_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store_conn_id = store_conn_id
        self._service: FeedbackService | None = None

    def get_conn(self) -> FeedbackService:
        """Return the feedback service on the open store."""
        if self._service is None:
            from airflow_ai_provider.hooks.store import AiStoreHook
            from airflow_ai_provider.services.feedback import FeedbackService

            self._service = FeedbackService(AiStoreHook(self.store_conn_id).get_conn())
        return self._service

    def count(self, model_name: str, partition: str | None = None) -> int:
        """Return how many effective records a model has, in a partition if named."""
        return self.get_conn().count(model_name, partition)

    def exceptions(self) -> ExceptionService:
        """Return the exception queue: claim cases, answer them, give them back."""
        from airflow_ai_provider.services.exceptions import ExceptionService

        return ExceptionService(self.get_conn().store)

    def previous(self, model_name: str, environment: str = "production") -> str | None:
        """Return the version that was in an environment before the one that is, by the ledger."""
        from airflow_ai_provider.services.retraining import RetrainingService

        return RetrainingService(self.get_conn().store).previous(model_name, environment)
