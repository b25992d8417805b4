"""The operator that loads a candidate in a process of its own and adds what it found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import PromotionError, RegistryUnavailableError

if TYPE_CHECKING:
    from airflow.sdk import Context


class ModelEvidenceOperator(BaseOperator):
    """Load and call a candidate in a process of its own, and add to its evidence what that costs.

    A model is somebody's code: the process has a time limit and a memory limit, and ends with all
    that it started. A model that does not load, loads for ever, crashes or eats the memory does not
    fail this task: the evidence says so and the model gate refuses it.

    Returns the evidence with ``costs`` (``load_s``, ``p50_ms`` and ``p95_ms`` of one row,
    ``p95_ms_per_1000``, ``peak_memory_bytes``, ``size_bytes``; what training claimed under these
    names is replaced), ``measured`` (``loads``, ``failure``, ``artifact_digest``, the limits),
    ``environment`` (Python, platform, the model's requirements) and ``run`` (metrics, parameters
    and code revision of the MLflow run).

    :param evidence: the dict that training made; ``core.promotion.evidence`` gives its shape.
    :param inputs: a Parquet file with rows of features; the model's own input example unless said.
    :param label_column: the column of ``inputs`` with what was observed, not shown to the model:
        the permutation importance of each input is measured from it.
    :param time_limit: seconds for fetching, loading and predicting together.
    :param memory_limit: bytes, or a text such as ``4GiB``.
    :param loader: ``module:function`` that loads a model; MLflow's unless said.
    :param mlflow_conn_id: the connection of the registry.
    """

    template_fields: Sequence[str] = (
        "evidence",
        "inputs",
        "label_column",
        "time_limit",
        "memory_limit",
        "mlflow_conn_id",
    )
    template_fields_renderers = {"evidence": "json"}
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        evidence: Any,
        inputs: str | None = None,
        label_column: str | None = None,
        time_limit: float = 300.0,
        memory_limit: int | str = "4GiB",
        loader: str = "mlflow.pyfunc:load_model",
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.evidence = evidence
        self.inputs = inputs
        self.label_column = label_column
        self.time_limit = time_limit
        self.memory_limit = memory_limit
        self.loader = loader
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Measure, and return the evidence with what was found."""
        from airflow_ai_provider.hooks.promotion import ModelRegistryHook
        from airflow_ai_provider.services.promotion.measuring import measure_evidence

        settings = ModelRegistryHook(self.mlflow_conn_id).get_settings()
        try:
            found = measure_evidence(
                self.evidence,
                inputs=self.inputs or None,
                label=self.label_column or None,
                time_limit=self.time_limit,
                memory_limit=self.memory_limit,
                loader=self.loader,
                environment=settings.environment(),
            )
        except RegistryUnavailableError:
            raise  # Airflow tries again
        except PromotionError as error:
            raise AirflowFailException(str(error)) from error
        if found["measured"]["loads"]:
            self.log.info("The model loads: %s", found["costs"])
        else:
            self.log.warning("The model cannot be used: %s", found["measured"]["failure"])
        return found
