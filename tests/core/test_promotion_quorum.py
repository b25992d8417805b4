"""Several approvals are one when enough different people gave them on the same evidence."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import ApprovalError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict, seal
from airflow_ai_provider.core.promotion.quorum import quorum_draft


def approval(number, by, verdict=Verdict.PASS, subject="mlflow://m/7", **evidence):
    said = {"evidence_hash": "e", "decision": "d", "submitter": "ml", "project": None, **evidence}
    return seal(
        GateDraft(
            kind=GateKind.APPROVAL,
            subject=subject,
            verdict=verdict,
            evidence=said,
            decided_by=by,
        ),
        record_id=f"a{number}",
        created_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        previous_hash="0" * 64,
    )


def test_two_people_are_two():
    draft = quorum_draft([approval(1, "ben"), approval(2, "ann")], needed=2)
    assert draft.verdict is Verdict.PASS
    assert draft.decided_by == "ann, ben"
    assert draft.subject == "mlflow://m/7"
    assert draft.evidence["approvals"] == ["a1", "a2"]
    assert (draft.evidence["evidence_hash"], draft.evidence["decision"]) == ("e", "d")


def test_one_person_twice_is_one():
    draft = quorum_draft([approval(1, "ann"), approval(2, "ann")], needed=2)
    assert draft.verdict is Verdict.FAIL
    assert draft.criteria[0].sentence == "1 of 2 different people agreed: ann."


def test_a_no_counts_for_nobody():
    approvals = [approval(1, "ann"), approval(2, "ben", Verdict.FAIL), approval(3, "cyd")]
    draft = quorum_draft(approvals, needed=2)
    assert draft.verdict is Verdict.PASS
    assert draft.evidence["by"] == ["ann", "cyd"]
    assert draft.evidence["approvals"] == ["a1", "a3"]
    assert draft.evidence["refusals"] == ["a2"]


def test_an_answer_of_nobody_counts_for_nobody():
    assert quorum_draft([approval(1, "")], needed=1).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (approval(2, "ben", evidence_hash="f"), "evidence_hash differs"),
        (approval(2, "ben", decision="x"), "decision differs"),
        (approval(2, "ben", submitter="ann"), "submitter differs"),
        (approval(2, "ben", subject="mlflow://m/8"), "subject differs"),
    ],
)
def test_approvals_of_different_things_are_refused(other, what):
    with pytest.raises(ApprovalError, match=what):
        quorum_draft([approval(1, "ann"), other], needed=2)


@pytest.mark.parametrize(("approvals", "needed"), [([], 1), ([approval(1, "ann")], 0)])
def test_nothing_is_no_quorum(approvals, needed):
    with pytest.raises(ApprovalError, match="cannot make"):
        quorum_draft(approvals, needed=needed)


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), min_size=1, max_size=6),
    st.integers(1, 4),
)
def test_it_passes_when_and_only_when_so_many_people_said_yes(answers, needed):
    approvals = [
        approval(number, by, Verdict.PASS if yes else Verdict.FAIL)
        for number, (by, yes) in enumerate(answers)
    ]
    people = {by for by, yes in answers if yes}
    assert quorum_draft(approvals, needed=needed).verdict.lets_pass == (len(people) >= needed)
