"""Operators of the feedback loop: take in, measure, decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.assets import (
    decision_alias,
    feedback_alias,
    feedback_asset,
    retrain_asset,
)
from airflow_ai_provider.core.errors import FeedbackError, FeedbackSourceLostError

if TYPE_CHECKING:
    from airflow.sdk import Context


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
        volume; ``delta_options`` is what its storage wants to know.
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
        if _is_plain(model_name):
            _add_outlet(self, feedback_alias(str(model_name)))

    def execute(self, context: Context) -> dict[str, Any]:
        """Ingest the sources as one batch."""
        from airflow_ai_provider.hooks.feedback import FeedbackHook

        hook = FeedbackHook(self.store_conn_id, delta=self.delta, delta_options=self.delta_options)
        run_key = _run_key(context)
        with _hopeless_fails():
            found = hook.ingest(
                self.paths,
                source=self.source,
                mapping=self.mapping,
                model_name=self.model_name,
                run_key=run_key,
                clock_may_go_back=self.clock_may_go_back,
            )
        counts = {
            name: getattr(found, name)
            for name in ("read", "stored", "revised", "duplicates", "quarantined", "batch")
        }
        self.log.info("Batch %s: %s", found.batch, counts)
        for model, new in hook.get_conn().news(run_key).items():
            alias = feedback_alias(model)
            if new and alias in self.outlets:
                extra = {"model_name": model, "new": new, **counts}
                context["outlet_events"][alias].add(feedback_asset(model), extra=extra)
        return counts


class FeedbackMetricsOperator(BaseOperator):
    """Measure every version of a model that predicted for a partition on the feedback so far.

    Joins the prediction log with the effective feedback by ``prediction_id``, adds the points to
    the series in the store, and returns ``{"model_name", "partition", "versions": [{"version",
    "predictions", "n", "coverage", "observed", "predicted", "gap", "gap_low", "gap_high",
    "roc_auc", "log_loss", "slices"}]}``. What cannot be measured is None.

    :param model_name: the registered model.
    :param predictions: path, glob or folder of the Parquet prediction log.
    :param partition: the part of the data, as the log names it.
    :param group: the column whose values are resampled whole for the interval; None for none.
    :param slices: columns by which the figures are also cut.
    :param store_conn_id: the connection of the store.
    """

    template_fields: Sequence[str] = (
        "model_name",
        "predictions",
        "partition",
        "group",
        "slices",
        "store_conn_id",
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.predictions = predictions
        self.partition = partition
        self.group = group
        self.slices = slices
        self.store_conn_id = store_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Measure and return the figures."""
        from airflow_ai_provider.hooks.feedback import FeedbackHook

        service = FeedbackHook(self.store_conn_id).get_conn()
        with _hopeless_fails():
            versions = service.metrics(
                model_name=self.model_name,
                predictions=self.predictions,
                partition=str(self.partition),
                group=self.group,
                slices=tuple(self.slices or ()),
            )
        return {
            "model_name": self.model_name,
            "partition": self.partition,
            "versions": [version.to_dict() for version in versions],
        }


class RetrainDecisionOperator(BaseOperator):
    """Decide whether to retrain, with every reason, and leave a gate record.

    Returns ``{"retrain", "summary", "reasons": [{"name", "limit", "observed", "verdict",
    "sentence"}], "record", "model_name", "partition", "judge_on"}``. On a yes an event with the
    same (``retrain`` aside) goes out on ``retrain_asset(model_name)`` through
    ``decision_alias(model_name)``, which is an outlet of its own accord when ``model_name`` is a
    plain text. A no is a decision, not a failure.

    :param model_name: the registered model.
    :param policy: ``RetrainPolicy`` as a dict, or the path of its YAML file.
    :param metrics: what ``FeedbackMetricsOperator`` returned.
    :param champion: ``{"version", "trained_through"}``; None when there is none, which means no.
    :param partition: the window, on which a challenger would be judged.
    :param window_end: the last day of the window.
    :param newest_data: the last day of gated data older than the window.
    :param in_flight: whether a retraining of the model is under way.
    :param store_conn_id: the connection of the store.
    """

    template_fields: Sequence[str] = (
        "model_name",
        "policy",
        "metrics",
        "champion",
        "partition",
        "window_end",
        "newest_data",
        "in_flight",
        "store_conn_id",
    )

    def __init__(
        self,
        *,
        model_name: str,
        policy: Mapping[str, Any] | str,
        metrics: Mapping[str, Any] | None,
        champion: Mapping[str, Any] | None,
        partition: str,
        window_end: Any,
        newest_data: Any,
        in_flight: Any = False,
        store_conn_id: str = "ai_store_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.policy = policy
        self.metrics = metrics
        self.champion = champion
        self.partition = partition
        self.window_end = window_end
        self.newest_data = newest_data
        self.in_flight = in_flight
        self.store_conn_id = store_conn_id
        if _is_plain(model_name):
            _add_outlet(self, decision_alias(model_name))

    def execute(self, context: Context) -> dict[str, Any]:
        """Decide, write the gate record, and tell."""
        from airflow_ai_provider.core.gate import plain
        from airflow_ai_provider.hooks.feedback import FeedbackHook
        from airflow_ai_provider.hooks.store import AiStoreHook, decision_key, origin_of

        service = FeedbackHook(self.store_conn_id).get_conn()
        with _hopeless_fails():
            decision, draft = service.decide(
                model_name=self.model_name,
                policy=self.policy,
                metrics=self.metrics,
                champion=self.champion,
                partition=str(self.partition),
                window_end=self.window_end,
                newest_data=self.newest_data,
                in_flight=_truth(self.in_flight),
            )
        draft = replace(draft, decided_by=type(self).__name__, origin=origin_of(context))
        ledger = AiStoreHook(self.store_conn_id).ledger
        record = ledger.append(draft, key=decision_key(context, draft))
        self.log.info("%s (gate record %s)", decision.summary, record.id)
        told = {
            "model_name": self.model_name,
            "partition": self.partition,
            "judge_on": self.partition,
            "summary": decision.summary,
            "reasons": plain(record.criteria),
            "record": record.id,
        }
        alias = decision_alias(self.model_name)
        if decision.retrain and alias in self.outlets:
            context["outlet_events"][alias].add(retrain_asset(self.model_name), extra=told)
        return {"retrain": decision.retrain, **told}


@contextmanager
def _hopeless_fails() -> Iterator[None]:
    """Fail the task at once on input that a retry would find the same."""
    try:
        yield
    except FeedbackSourceLostError:
        raise
    except FeedbackError as error:
        raise AirflowFailException(str(error)) from error


def _run_key(context: Context) -> str:
    """Return the key of the task instance over all its tries."""
    from airflow_ai_provider.core.gate import digest

    ti = context["ti"]
    return digest([ti.dag_id, ti.run_id, ti.task_id, getattr(ti, "map_index", -1)])


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and "{{" not in value and "{%" not in value


def _add_outlet(operator: BaseOperator, alias: Any) -> None:
    if alias not in operator.outlets:
        operator.outlets = [*operator.outlets, alias]


def _truth(value: Any) -> bool:
    # a rendered template is a text
    if isinstance(value, str):
        return value.strip().lower() not in {"", "0", "false", "no", "none"}
    return bool(value)
