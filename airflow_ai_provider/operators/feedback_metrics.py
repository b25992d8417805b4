"""The operator that measures live models on feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_ai_provider.operators._feedback import hopeless_fails

if TYPE_CHECKING:
    from airflow.sdk import Context


class FeedbackMetricsOperator(BaseOperator):
    """Measure every version of a model that predicted for a partition on the feedback so far.

    Joins the prediction log with the effective feedback by ``prediction_id``, adds the points to
    the series in the store (pictures: ``airflow-ai feedback metrics MODEL --report FILE``), and
    returns ``{"model_name", "partition", "versions": [{"version", "predictions", "n", "coverage",
    "observed", "predicted", "gap", "gap_low", "gap_high", "roc_auc", "log_loss", "brier",
    "answers", "mos", "mos_low", "mos_high", "agreement", "exceptions", "exception_rate",
    "slices"}], "pairs": [{"version", "other", "metric", "n", "value", "other_value", "difference",
    "low", "high"}], "agreement": {"alpha", "measure", "units", "raters"}}``. A pair is a champion
    beside its challenger: each two versions on the rows that both answered. What cannot be
    measured is None.

    :param model_name: the registered model.
    :param predictions: path, glob or folder of the Parquet prediction log.
    :param partition: the part of the data, as the log names it, or a window of days by the log's
        column ``day``: ``2013-06-01/2013-06-30``.
    :param group: the column whose values are resampled whole for the interval; None for none.
    :param slices: columns by which the figures are also cut.
    :param store_conn_id: the connection of the store; feedback in Delta tables it knows counts.
    :param delta_options: what the storage of those tables wants to know, beside the environment.
    """

    template_fields: Sequence[str] = (
        "model_name",
        "predictions",
        "partition",
        "group",
        "slices",
        "store_conn_id",
        "delta_options",
    )

    def __init__(
        self,
        *,
        model_name: str,
        predictions: str,
        partition: str,
        group: str | None = "day",
        slices: Sequence[str] = (),
        store_conn_id: str = "ai_store_default",
        delta_options: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.predictions = predictions
        self.partition = partition
        self.group = group
        self.slices = slices
        self.store_conn_id = store_conn_id
        self.delta_options = delta_options

    def execute(self, context: Context) -> dict[str, Any]:
        """Measure and return the figures."""
        from airflow_ai_provider.hooks.feedback import FeedbackHook
        from airflow_ai_provider.services.live_metrics import measure_live

        service = FeedbackHook(self.store_conn_id, delta_options=self.delta_options).get_conn()
        with hopeless_fails():
            found = measure_live(
                service,
                model_name=self.model_name,
                predictions=self.predictions,
                partition=str(self.partition),
                group=self.group,
                slices=tuple(self.slices or ()),
            )
        return found.to_dict()
