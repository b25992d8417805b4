"""From a verdict to production: the move to staging, people's approval, the card, the move."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import task_group

from airflow_ai_provider.operators.model_card import ModelCardOperator
from airflow_ai_provider.operators.promotion import ModelPromoteOperator
from airflow_ai_provider.task_groups.approval import approved_by_several, question


@task_group
def promote_to_production(
    verdict: Any,
    *,
    subject: str,
    approvers: Any,
    submitter: Any,
    needed: int = 1,
    project: str | None = None,
    project_file: str | None = None,
    respond_within: timedelta = timedelta(days=7),
) -> Any:
    """Take a judged version through staging and an approval to production.

    The approval is bound to the hash of the evidence that the gate saw: what was approved is what
    is promoted, or nothing is. The model card is written once it is approved; the move does not
    wait for it.

    :param verdict: the ``output`` of a ``ModelGateOperator`` with ``multiple_outputs=True``.
    :param subject: the question that the approver reads.
    :param approvers: user names who may answer.
    :param submitter: the user who answers for the candidate and may not approve it.
    :param needed: how many different people must agree; each is asked.
    :param project: the project that the records name, and whose live models count.
    :param project_file: the project file that the card's texts come from.
    :param respond_within: how long the question stands.
    """
    model = {"model_name": verdict["model_name"], "version": verdict["version"]}
    decided = {**model, "decision": verdict["record"], "evidence_hash": verdict["evidence_hash"]}
    decided["project"] = project
    staging = ModelPromoteOperator(task_id="to_staging", environment="staging", **decided)
    asked: dict[str, Any] = {
        "subject": subject,
        "approvers": approvers,
        "submitter": submitter,
        "respond_within": respond_within,
    }
    approved: Any
    if needed == 1:
        approved = question("approve", evidence=verdict, **asked).output
    else:
        approved = approved_by_several(verdict, needed=needed, **asked)
        staging >> approved.operator.task_group  # nobody is asked before it stands in staging
    ModelCardOperator(
        task_id="card",
        verdict=verdict,
        approvals=[approved["record"]],
        project_file=project_file,
    )
    production = ModelPromoteOperator(
        task_id="to_production",
        environment="production",
        approval=approved["record"],
        **decided,
    )
    staging >> approved >> production
    return production.output
