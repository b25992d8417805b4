"""A guard: go on only when the newest gate record of a data set is good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import QualityError
from airflow_ai_provider.operators._gate import GateOutcome

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

REQUIRED = ("dataset", "partition", "verdict", "max_age", "min_score", "gates")


class DataQualityRequiredOperator(BaseOperator, GateOutcome):
    """Go on only when the newest data gate record of a data set is good, and not too old.

    It looks once at the ledger, not at the data; ``DataQualitySensor`` waits instead. Returns
    ``{"met", "reason", "message", "subject", "record", "verdict", "decided_at", "score"}``;
    ``reason`` is ``no_record``, ``refused``, ``too_old``, ``low_score`` or None.

    :param dataset: the data set, whose records have the subject ``ai-data://DATASET/PARTITION``.
    :param partition: which part; unless said, the newest record of any part counts.
    :param verdict: ``pass``, or ``warn`` for data that failed lesser expectations too.
    :param max_age: how old the record may be: seconds, or a ``timedelta``. Data that a gate could
        not look at leave no record; this is what notices that.
    :param min_score: the least share of expectations met, from 0 to 1.
    :param gates: ``data``, ``drift`` or both, each of which must have judged so.
    :param on_fail: ``fail`` the task without retry, ``skip`` what is downstream, ``branch`` to
        ``branch_task_ids`` (which are skipped when all is well), or ``warn`` and go on.
    :param store_conn_id: the connection of the store, of type ``ai_store``.
    """

    template_fields: Sequence[str] = (*REQUIRED, "on_fail", "branch_task_ids", "store_conn_id")
    ui_color = "#d5e8d4"
    inherits_from_skipmixin = True

    def __init__(
        self,
        *,
        dataset: str,
        partition: str | None = None,
        verdict: str = "warn",
        max_age: float | str | timedelta | None = None,
        min_score: float | str | None = None,
        gates: str | Sequence[str] = "data",
        on_fail: str = "fail",
        branch_task_ids: str | Sequence[str] | None = None,
        store_conn_id: str = "ai_store_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.partition = partition
        self.verdict = verdict
        self.max_age = max_age
        self.min_score = min_score
        self.gates = gates
        self.on_fail = on_fail
        self.branch_task_ids = branch_task_ids
        self.store_conn_id = store_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Look once, and decide."""
        from airflow_ai_provider.hooks.quality import DataQualityHook
        from airflow_ai_provider.services.quality_required import refusal

        self.check_on_fail()
        asked = {name: getattr(self, name) for name in REQUIRED}
        try:
            found = DataQualityHook(self.store_conn_id).standing(**asked)
        except QualityError as error:  # an argument: trying again changes nothing
            raise AirflowFailException(str(error)) from error
        self.log.info("%s", found.sentence)
        return self.conclude(context, found.as_json(), None if found else refusal(found))
