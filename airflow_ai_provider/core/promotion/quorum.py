"""n of m: several approvals of the same evidence, each by another person."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_ai_provider.core.errors import ApprovalError
from airflow_ai_provider.core.gate import (
    Criterion,
    GateDraft,
    GateKind,
    GateRecord,
    Origin,
    Verdict,
)

SAME = ("evidence_hash", "decision", "submitter", "project")


def quorum_draft(
    approvals: Sequence[GateRecord], *, needed: int, origin: Origin | None = None
) -> GateDraft:
    """Return the draft of one approval that stands for ``approvals``, by ``needed`` people or not.

    A refusal, or somebody's second answer, counts for nobody.

    :raises ApprovalError: they are not about the same thing, or there is none.
    """
    if not approvals or needed < 1:
        raise ApprovalError(
            f"{len(approvals)} approvals cannot make {needed}.",
            remedy="Name the records of the approval tasks, and how many people must agree.",
        )
    first = approvals[0]
    for other in approvals[1:]:
        for name in SAME:
            if first.subject != other.subject or first.evidence.get(name) != other.evidence.get(
                name
            ):
                raise ApprovalError(
                    f"Approvals {first.id} and {other.id} are not about the same: "
                    f"{'subject' if first.subject != other.subject else name} differs.",
                    remedy="Clear the approval tasks to ask again.",
                )
    agreed = [record for record in approvals if record.verdict == Verdict.PASS.value]
    people = sorted({record.decided_by for record in agreed if record.decided_by})
    met = len(people) >= needed
    return GateDraft(
        kind=GateKind.APPROVAL,
        subject=first.subject,
        verdict=Verdict.PASS if met else Verdict.FAIL,
        criteria=(
            Criterion(
                name="quorum",
                limit=needed,
                observed=len(people),
                verdict=Verdict.PASS if met else Verdict.FAIL,
                sentence=f"{len(people)} of {needed} different people agreed"
                + (f": {', '.join(people)}." if people else "."),
            ),
        ),
        evidence={
            **{name: first.evidence.get(name) for name in SAME},
            "approvals": [record.id for record in agreed],
            "refusals": [record.id for record in approvals if record not in agreed],
            "by": people,
        },
        decided_by=", ".join(people),
        origin=origin or Origin(),
    )
