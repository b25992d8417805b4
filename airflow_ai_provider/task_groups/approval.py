"""n of m people: several questions side by side, and a check that different people agreed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import task_group

from airflow_ai_provider.operators.approval_quorum import ApprovalQuorumOperator
from airflow_ai_provider.operators.promotion import PromotionApprovalOperator


@task_group
def approved_by_several(
    evidence: Any,
    *,
    needed: int,
    subject: str,
    approvers: Any,
    submitter: Any = None,
    project_file: str | None = None,
    respond_within: timedelta = timedelta(days=7),
    store_conn_id: str = "ai_store_default",
) -> Any:
    """Ask ``approvers`` for the approval of ``evidence`` by ``needed`` different ones of them.

    There are ``needed`` questions, each of which every approver may answer. One no is enough to
    refuse: what follows is skipped. Two answers of one person are one, and fail the check; the
    second question can then be cleared and asked again.

    Returns the output of ``ApprovalQuorumOperator``; its ``record`` is the approval.

    :param evidence: the result of a model gate, or any dict.
    :param needed: how many people must agree.
    :param subject: the question that they read.
    :param approvers: user names who may answer.
    :param submitter: who may not; see ``PromotionApprovalOperator``.
    :param project_file: the project whose owner submits what an asset caused.
    :param respond_within: how long the questions stand.
    """
    asked: list[Any] = [
        question(
            f"approve_{number}",
            subject=f"{subject} ({number} of {needed})",
            evidence=evidence,
            approvers=approvers,
            submitter=submitter,
            respond_within=respond_within,
            project_file=project_file,
            store_conn_id=store_conn_id,
        )
        for number in range(1, needed + 1)
    ]
    agreed = ApprovalQuorumOperator(
        task_id="agreed",
        approvals=[question.output["record"] for question in asked],
        needed=needed,
        multiple_outputs=True,
        store_conn_id=store_conn_id,
    )
    asked >> agreed
    return agreed.output


def question(
    task_id: str,
    *,
    subject: str,
    evidence: Any,
    approvers: Any,
    submitter: Any,
    respond_within: timedelta,
    **more: Any,
) -> PromotionApprovalOperator:
    """Return the task that asks one person; a no skips what follows, and its output is a dict."""
    return PromotionApprovalOperator(
        task_id=task_id,
        subject=subject,
        evidence=evidence,
        assigned_users=approvers,
        submitter=submitter,
        response_timeout=respond_within,
        fail_on_reject=False,
        multiple_outputs=True,
        **more,
    )
