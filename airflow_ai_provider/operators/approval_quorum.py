"""The check that enough different people approved the same evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import ApprovalError, EvidenceError, LedgerError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ai_provider.core.gate import GateRecord


class ApprovalQuorumOperator(BaseOperator):
    """Let pass what enough different people approved, and put that on record as one approval.

    Airflow lets everyone who is asked answer every task, so one person may have answered two: that
    counts once. ``task_groups.approval.approved_by_several`` sets the tasks up. The record can be
    given to ``ModelPromoteOperator`` as its ``approval``.

    Returns ``{"record", "evidence_hash", "approved", "decided_by", "approvals"}``, pushed before
    anything is raised.

    :param approvals: the records of the approval tasks.
    :param needed: how many different people must agree; all that were asked unless said.
    :param store_conn_id: the connection of the store.
    """

    template_fields: Sequence[str] = ("approvals", "needed", "store_conn_id")
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        approvals: Any,
        needed: int | str | None = None,
        store_conn_id: str = "ai_store_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.approvals = approvals
        self.needed = needed
        self.store_conn_id = store_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Count the people, record, and let pass or not."""
        from airflow_ai_provider.core.promotion.quorum import quorum_draft
        from airflow_ai_provider.hooks.store import AiStoreHook, decision_key, origin_of

        ledger = AiStoreHook(self.store_conn_id).ledger
        names = [str(name) for name in self.approvals]
        needed = len(names) if self.needed in {None, ""} else int(str(self.needed))
        try:
            found = [self._approval(ledger, name) for name in names]
            draft = quorum_draft(found, needed=needed, origin=origin_of(context))
        except (ApprovalError, EvidenceError, LedgerError) as error:
            raise AirflowFailException(str(error)) from error
        record = ledger.append(draft, key=decision_key(context, draft))
        result = {
            "record": record.id,
            "evidence_hash": draft.evidence["evidence_hash"],
            "approved": draft.verdict.lets_pass,
            "decided_by": draft.decided_by,
            "approvals": names,
        }
        sentence = draft.criteria[0].sentence
        self.log.info("Gate record %s: %s", record.id, sentence)
        if not draft.verdict.lets_pass:
            context["ti"].xcom_push(key="return_value", value=result)
            raise AirflowFailException(
                f"{sentence} Clear the approval task of whoever answered twice. "
                f"The gate record is {record.id}."
            )
        return result

    @staticmethod
    def _approval(ledger: Any, name: str) -> GateRecord:
        from airflow_ai_provider.core.gate import GateKind
        from airflow_ai_provider.services.promotion.checks import read_record

        return read_record(ledger, name, GateKind.APPROVAL)
