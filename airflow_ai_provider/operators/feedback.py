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
    """Take in feedback from files, a database, Label Studio or MLflow, each record exactly once.

    Returns ``{"read", "stored", "revised", "duplicates", "quarantined", "batch"}``; ``read`` is the
    sum of the four after it. When anything was stored or revised (by this try or one before it), an
    event on ``feedback_asset(model)`` goes out through ``feedback_alias(model)``, which is an
    outlet of its own accord when ``model_name`` is a plain text.

    A ``source`` is one of these, or several in a list:

    - ``{"kind": "sql", "conn_id": "crm", "table": "reviews", "watermark": "changed_at"}``: rows of
      a table (``schema``) or a query (``sql``) behind any SQL connection, from the last watermark
      on; ``time_zone`` is that of moments kept without one;
    - ``{"kind": "label_studio", "conn_id": "ls", "project": 7}`` over its API (the connection's
      password is the token), or ``"path"`` of an exported file; ``fields`` says which of our fields
      a control of the labelling page means, where its kind does not;
    - ``{"kind": "mlflow", "conn_id": "mlflow_default", "experiment": "chat"}``: the assessments on
      its traces (``days`` back; ``scores`` are the names of those that are opinions from 1 to 5);
    - an object with ``name``, ``read`` and ``position``, or a function that returns one: how to
      write one is told in ``airflow_ai_provider.core.feedback.source``.

    :param paths: files (JSON Lines, CSV, Parquet), folders or globs; local or any address of
        ``ObjectStoragePath``. A file that is named is always read; of folders and globs, those that
        are new and no longer being written.
    :param source: where feedback comes from besides.
    :param model_name: the model of records that name none.
    :param mapping: names of the source's fields, ours to theirs.
    :param store_conn_id: the connection of the store.
    :param delta: the address of a Delta table that takes the records instead of the store, for
        volume; ``delta_options`` is what its storage wants to know. The store notes it, so that
        metrics, sensors, exceptions and training sets find the records there.
    :param clock_may_go_back: take the batch although the store's clock is behind its last one.
    """

    template_fields: Sequence[str] = (
        "paths",
        "source",
        "model_name",
        "mapping",
        "store_conn_id",
        "delta",
        "delta_options",
    )

    def __init__(
        self,
        *,
        paths: str | Sequence[str] = (),
        source: Any = None,
        model_name: str | None = None,
        mapping: Mapping[str, str] | None = None,
        store_conn_id: str = "ai_store_default",
        delta: str | None = None,
        delta_options: Mapping[str, str] | None = None,
        clock_may_go_back: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.paths = paths
        self.source = source
        self.model_name = model_name
        self.mapping = mapping
        self.store_conn_id = store_conn_id
        self.delta = delta
        self.delta_options = delta_options
        self.clock_may_go_back = clock_may_go_back
        if is_plain(model_name):
            add_outlet(self, feedback_alias(str(model_name)))

    def execute(self, context: Context) -> dict[str, Any]:
        """Ingest the sources as one batch."""
        from airflow_ai_provider.hooks.feedback import FeedbackHook

        hook = FeedbackHook(self.store_conn_id, delta=self.delta, delta_options=self.delta_options)
        key = run_key(context)
        with hopeless_fails():
            found = hook.ingest(
                self.paths,
                source=self.source,
                mapping=self.mapping,
                model_name=self.model_name,
                run_key=key,
                clock_may_go_back=self.clock_may_go_back,
            )
        counts = {
            name: getattr(found, name)
            for name in ("read", "stored", "revised", "duplicates", "quarantined", "batch")
        }
        self.log.info("Batch %s: %s", found.batch, counts)
        for model, new in hook.get_conn().news(key).items():
            alias = feedback_alias(model)
            if new and alias in self.outlets:
                extra = {"model_name": model, "new": new, **counts}
                context["outlet_events"][alias].add(feedback_asset(model), extra=extra)
        return counts
