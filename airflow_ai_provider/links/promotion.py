"""From a task instance to its model version in MLflow's own pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_ai_provider.core.errors import RegistryError

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

_KEY = "mlflow_version"


class ModelVersionLink(BaseOperatorLink):
    """The page of the version that the task moved, copied or waited for.

    Empty where the registry has no pages of its own, such as SQLite.
    """

    name = "MLflow"

    @property
    def xcom_key(self) -> str:
        """Where the task leaves the address."""
        return _KEY

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address that the task left, empty before it did."""
        pull = getattr(ti_key, "xcom_pull", None)
        if pull is None:
            return ""
        found = pull(task_ids=operator.task_id, key=_KEY, map_indexes=ti_key.map_index)
        return str(found or "")

    @staticmethod
    def persist(
        context: Context, mlflow_conn_id: str, model_name: str, version: str | None
    ) -> None:
        """Leave the address of a version's page, of the model's when it is None."""
        from airflow_ai_provider.adapters.mlflow import page_of
        from airflow_ai_provider.hooks.promotion import ModelRegistryHook

        try:
            settings = ModelRegistryHook(mlflow_conn_id).get_settings()
        except (RegistryError, AirflowNotFoundException):
            return  # a link is no reason to fail
        context["ti"].xcom_push(key=_KEY, value=page_of(settings, model_name, version))
