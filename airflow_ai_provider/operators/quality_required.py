"""A guard: go on only when the newest gate record of a data set is good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import QualityError
from airflow_ai_provider.operators._gate import GateOutcome
from airflow_ai_provider.operators._requirement import REQUIRED, GateRequirement

if TYPE_CHECKING:
    from airflow.sdk import Context


class DataQualityRequiredOperator(GateRequirement, GateOutcome):
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
        on_fail: str = "fail",
        branch_task_ids: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_fail = on_fail
        self.branch_task_ids = branch_task_ids

    def execute(self, context: Context) -> dict[str, Any]:
        """Look once, and decide."""
        from airflow_ai_provider.hooks.quality import DataQualityHook
        from airflow_ai_provider.services.quality_required import refusal

        self.check_on_fail()
        try:
            found = DataQualityHook(self.store_conn_id).standing(**self.required())
        except QualityError as error:  # an argument: trying again changes nothing
            raise AirflowFailException(str(error)) from error
        self.log.info("%s", found.sentence)
        return self.conclude(context, found.as_json(), None if found else refusal(found))
