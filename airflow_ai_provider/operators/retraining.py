"""The operator that decides whether to retrain, or to go back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_ai_provider.assets import (
    decision_alias,
    retrain_asset,
    rollback_alias,
    rollback_asset,
)
from airflow_ai_provider.operators._feedback import add_outlet, hopeless_fails, is_plain, truth

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ai_provider.services.retraining import Decided, Facts


class RetrainDecisionOperator(BaseOperator):
    """Decide whether to retrain or to go back, with every reason, and leave a gate record.

    Returns ``{"decision", "retrain", "summary", "reasons": [{"name", "limit", "observed",
    "verdict", "sentence"}], "record", "model_name", "partition", "judge_on", "rollback"}``, where
    ``decision`` is ``retrain``, ``rollback`` or ``none``. On a yes an event with the same
    (``retrain`` aside) goes out on ``retrain_asset(model_name)`` through
    ``decision_alias(model_name)``. When the champion fell below the version before it on the same
    feedback, the decision is ``rollback``: a gate record of its own, and an event on
    ``rollback_asset(model_name)`` through ``rollback_alias(model_name)`` with ``{"model_name",
    "champion", "previous", "ask", "summary", "reasons", "record"}``, which is also ``rollback`` in
    the result. Both aliases are outlets of their own accord when ``model_name`` is a plain text.
    A no is a decision, not a failure.

    At most one retraining of a model is under way: from a yes until a candidate was judged.

    :param model_name: the registered model.
    :param policy: ``RetrainPolicy`` as a dict, or the path of its YAML file.
    :param metrics: what ``FeedbackMetricsOperator`` returned.
    :param champion: ``{"version", "trained_through"}``; None when there is none, which means no.
    :param partition: the window, on which a challenger would be judged.
    :param window_end: the last day of the window.
    :param newest_data: the last day of gated data older than the window.
    :param in_flight: whether a retraining of the model is under way besides.
    :param drift: the share of columns that drifted, or what ``DriftGateOperator`` returned.
    :param project: whose GPU hours count for the budget; without it everybody's.
    :param previous: the version before the champion; the ledger tells unless said.
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
        "drift",
        "project",
        "previous",
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
        drift: Any = None,
        project: str | None = None,
        previous: str | None = None,
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
        self.drift = drift
        self.project = project
        self.previous = previous
        self.store_conn_id = store_conn_id
        if is_plain(model_name):
            add_outlet(self, decision_alias(model_name))
            add_outlet(self, rollback_alias(model_name))

    def execute(self, context: Context) -> dict[str, Any]:
        """Decide, write the gate record, and tell."""
        from airflow_ai_provider.core.gate import plain
        from airflow_ai_provider.hooks.store import AiStoreHook, decision_key, origin_of
        from airflow_ai_provider.services.retraining import RetrainingService

        service = RetrainingService(AiStoreHook(self.store_conn_id).get_conn())
        with hopeless_fails():
            decided = service.decide(
                self._facts(),
                origin=origin_of(context),
                decided_by=type(self).__name__,
                key=lambda draft: decision_key(context, draft),
            )
        summary = decided.retrain.summary
        self.log.info("%s (gate record %s)", summary, decided.record.id)
        told = {
            "decision": decided.decision,
            "model_name": self.model_name,
            "partition": self.partition,
            "judge_on": self.partition,
            "summary": summary,
            "reasons": plain(decided.record.criteria),
            "record": decided.record.id,
            "rollback": self._way_back(decided),
        }
        events = context["outlet_events"]
        alias, back = decision_alias(self.model_name), rollback_alias(self.model_name)
        if decided.retrain.retrain and alias in self.outlets:
            events[alias].add(retrain_asset(self.model_name), extra=told)
        if told["rollback"] and back in self.outlets:
            events[back].add(rollback_asset(self.model_name), extra=told["rollback"])
        return {"retrain": decided.retrain.retrain, **told}

    def _facts(self) -> Facts:
        from airflow_ai_provider.core.feedback.policy import read_date
        from airflow_ai_provider.services.retraining import (
            Facts,
            read_champion,
            read_drift,
            read_policy,
        )

        return Facts(
            model_name=self.model_name,
            policy=read_policy(self.policy),
            metrics=self.metrics,
            champion=read_champion(self.champion),
            partition=str(self.partition),
            window_end=read_date(self.window_end, "window_end"),
            newest_data=read_date(self.newest_data, "newest_data") if self.newest_data else None,
            in_flight=truth(self.in_flight),
            drift=read_drift(self.drift),
            project=self.project or None,
            previous=self.previous or None,
        )

    def _way_back(self, decided: Decided) -> dict[str, Any] | None:
        if decided.rollback is None or decided.rollback_record is None:
            return None
        self.log.warning(
            "%s (gate record %s)", decided.rollback.summary, decided.rollback_record.id
        )
        said = decided.rollback_record.evidence
        return {
            "model_name": self.model_name,
            "champion": said["champion"]["version"],
            "previous": said["previous"],
            "ask": said["policy"]["rollback"]["ask"],
            "summary": decided.rollback.summary,
            "reasons": decided.rollback_record.criteria,
            "record": decided.rollback_record.id,
        }
