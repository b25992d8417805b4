"""Operators of the feedback loop: take in, measure, decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_ai_provider.assets import feedback_alias, feedback_asset
from airflow_ai_provider.operators._feedback import (
    add_outlet,
    hopeless_fails,
    is_plain,
    run_key,
)
from airflow_ai_provider.operators.feedback_metrics import FeedbackMetricsOperator
from airflow_ai_provider.operators.retraining import RetrainDecisionOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["FeedbackIngestOperator", "FeedbackMetricsOperator", "RetrainDecisionOperator"]


class FeedbackIngestOperator(BaseOperator):
    """Take in feedback from JSON Lines and Parquet files, each record exactly once.

    Returns ``{"read", "stored", "revised", "duplicates", "quarantined", "batch"}``; ``read`` is the
    sum of the four after it. When anything was stored or revised (by this try or one before it), an
    event on ``feedback_asset(model)`` goes out through ``feedback_alias(model)``, which is an
    outlet of its own accord when ``model_name`` is a plain text.

    :param paths: a file or several; a path that is named is always read.
    :param model_name: the model of records that name none.
    :param mapping: names of the source's fields, ours to theirs.
    :param store_conn_id: the connection of the store.
    """

    template_fields: Sequence[str] = ("paths", "model_name", "mapping", "store_conn_id")

    def __init__(
        self,
        *,
        paths: str | Sequence[str],
        model_name: str | None = None,
        mapping: Mapping[str, str] | None = None,
        store_conn_id: str = "ai_store_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.paths = paths
        self.model_name = model_name
        self.mapping = mapping
        self.store_conn_id = store_conn_id
        if is_plain(model_name):
            add_outlet(self, feedback_alias(str(model_name)))

    def execute(self, context: Context) -> dict[str, Any]:
        """Ingest the files as one batch."""
        from airflow_ai_provider.hooks.feedback import FeedbackHook

        service = FeedbackHook(self.store_conn_id).get_conn()
        key = run_key(context)
        with hopeless_fails():
            found = service.ingest(
                self.paths, mapping=self.mapping, model_name=self.model_name, run_key=key
            )
        counts = {
            name: getattr(found, name)
            for name in ("read", "stored", "revised", "duplicates", "quarantined", "batch")
        }
        self.log.info("Batch %s: %s", found.batch, counts)
        for model, new in service.news(key).items():
            alias = feedback_alias(model)
            if new and alias in self.outlets:
                extra = {"model_name": model, "new": new, **counts}
                context["outlet_events"][alias].add(feedback_asset(model), extra=extra)
        return counts
