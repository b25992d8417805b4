"""Operators that add to the evidence: what loading a model costs, what was said of its answers."""

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


class TraceEvidenceOperator(BaseOperator):
    """Add to the evidence what people, judges and checks said of an application's answers.

    Where they say it is MLflow: feedback on traces (``mlflow.log_feedback``, MLflow's UI). A trace
    belongs to a prompt version that was loaded in it (or linked to it), to a logged model that made
    it, or to a run. The criteria ``assessment`` and ``human_score`` with ``source: traces`` rest on
    what this collects; where nobody said anything they fail.

    Returns the evidence with ``assessments``: ``{"filter", "experiments", "traces", "found":
    [{"name", "by", "answers", "traces", "sources", "unusable", "mean", "deviation", "low",
    "high"}]}``; who said what is not in it.

    :param evidence: a dict with ``model_name`` and ``version`` at least; a prompt's name and
        version are that too.
    :param experiments: names or ids of the experiments that the traces are in; all unless said.
    :param trace_filter: MLflow's filter that finds the candidate's traces, when it is another.
    :param mlflow_conn_id: the connection of the registry and its tracking server.
    """

    template_fields: Sequence[str] = ("evidence", "experiments", "trace_filter", "mlflow_conn_id")
    template_fields_renderers = {"evidence": "json"}
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        evidence: Any,
        experiments: Any = (),
        trace_filter: str | None = None,
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.evidence = evidence
        self.experiments = experiments
        self.trace_filter = trace_filter
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Collect, and return the evidence with what was found."""
        from airflow_ai_provider.hooks.promotion import ModelRegistryHook
        from airflow_ai_provider.services.promotion.assessing import assess_evidence

        hook = ModelRegistryHook(self.mlflow_conn_id)
        named = [self.experiments] if isinstance(self.experiments, str) else self.experiments
        try:
            found = assess_evidence(
                self.evidence,
                traces=hook.get_traces(),
                registry=hook.get_conn(),
                experiments=[str(name) for name in named or () if name],
                trace_filter=self.trace_filter or None,
            )
        except RegistryUnavailableError:
            raise  # Airflow tries again
        except PromotionError as error:
            raise AirflowFailException(str(error)) from error
        said = found["assessments"]
        self.log.info("%s traces (%s): %s", said["traces"], said["filter"], said["found"])
        return found
