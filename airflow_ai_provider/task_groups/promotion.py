"""From a verdict to production: the move to staging, a person's approval, the move."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import task_group

from airflow_ai_provider.operators.promotion import ModelPromoteOperator
from airflow_ai_provider.task_groups.approval import question


@task_group
def promote_to_production(
    verdict: Any,
    *,
    subject: str,
    approvers: Any,
    submitter: Any,
    respond_within: timedelta = timedelta(days=7),
) -> Any:
    """Take a judged version through staging and an approval to production.

    The approval is bound to the hash of the evidence that the gate saw: what was approved is what
    is promoted, or nothing is.

    :param verdict: the ``output`` of a ``ModelGateOperator`` with ``multiple_outputs=True``.
    :param subject: the question that the approver reads.
    :param approvers: user names who may answer.
    :param submitter: the user who answers for the candidate and may not approve it.
    :param respond_within: how long the question stands.
    """
    model = {"model_name": verdict["model_name"], "version": verdict["version"]}
    decided = {**model, "decision": verdict["record"], "evidence_hash": verdict["evidence_hash"]}
    staging = ModelPromoteOperator(task_id="to_staging", environment="staging", **decided)
    approval = question(
        "approve",
        subject=subject,
        evidence=verdict,
        approvers=approvers,
        submitter=submitter,
        respond_within=respond_within,
    )
    approved: Any = approval.output
    production = ModelPromoteOperator(
        task_id="to_production",
        environment="production",
        approval=approved["record"],
        **decided,
    )
    staging >> approval >> production
    return production.output
