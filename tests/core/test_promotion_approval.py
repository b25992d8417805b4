"""Who may approve what."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from airflow_ai_provider.core.errors import ApprovalError, EvidenceError
from airflow_ai_provider.core.gate import Origin, Verdict, digest
from airflow_ai_provider.core.promotion.approval import approval_request, user_names

EVIDENCE = {"model_name": "m", "version": "3"}
RESULT = {
    "verdict": "pass",
    "candidate": "boosting",
    "evidence_hash": digest(EVIDENCE),
    "record": "r1",
    "criteria": [
        {"name": "a|b", "limit": 0.7, "observed": 0.81234567, "verdict": "pass", "sentence": "x\ny"}
    ],
    "evidence": EVIDENCE,
}


def request(evidence=RESULT, *, users=("sponsor",), submitter="ml"):
    return approval_request(
        evidence,
        assigned_users=users,
        submitter=submitter,
        project="p",
        otherwise="airflow://d/t",
    )


def answer(asked=None, by="sponsor", chosen=("Approve",), params=None, on=None):
    made = on or request()
    event = {
        "chosen_options": list(chosen),
        "params_input": params or {},
        "responded_at": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "responded_by_user": by if by is None else {"id": by, "name": by},
    }
    fingerprint = made.fingerprint if asked is None else asked
    return made.answered(event, asked=fingerprint, yes="Approve", origin=Origin())


def test_an_approval_is_bound_to_evidence_and_decision():
    draft = answer(params={"comment": "looks right"})
    assert draft.verdict is Verdict.PASS
    assert draft.decided_by == "sponsor"
    assert draft.subject == "mlflow://m/3"
    assert draft.evidence["evidence_hash"] == digest(EVIDENCE)
    assert draft.evidence["decision"] == "r1"
    assert draft.evidence["submitter"] == "ml"
    assert draft.evidence["comment"] == "looks right"


@pytest.mark.parametrize("chosen", [["Reject"], [], ["Approve", "Reject"], ["approve"]])
def test_anything_but_yes_is_no(chosen):
    assert answer(chosen=chosen).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"asked": "other"}, "changed since it was shown"),
        ({"by": None}, "names nobody"),
        ({"by": "ml"}, "submitted mlflow://m/3 and may not approve"),
        ({"by": "viewer"}, "not among those asked"),
        ({"params": {"comment": 3}}, "comment must be a text"),
        ({"params": {"comment": "x" * 3000}}, "at most 2000"),
    ],
)
def test_an_answer_that_does_not_hold(change, message):
    with pytest.raises(ApprovalError, match=message):
        answer(**change)


def test_who_submitted_is_not_asked():
    assert request(users=["ml", "sponsor"]).may_answer == ("sponsor",)
    with pytest.raises(ApprovalError, match="but ml, who submitted it"):
        request(users=["ml"])


@pytest.mark.parametrize("users", [None, [], "", " , "])
def test_nobody_is_not_everybody(users):
    with pytest.raises(ApprovalError, match="no user is assigned"):
        request(users=users, submitter=None)


def test_users_in_every_form():
    assert user_names("a, b") == ("a", "b")
    assert user_names({"id": "a", "name": "A"}) == ("a",)
    assert user_names([{"id": "a"}, "b", "a"]) == ("a", "b")
    with pytest.raises(ApprovalError, match="is no user name"):
        user_names([3])


def test_evidence_that_does_not_fit_its_hash_is_not_shown():
    with pytest.raises(EvidenceError, match="does not fit its own hash"):
        request({**RESULT, "evidence": {**EVIDENCE, "version": "4"}})
    with pytest.raises(EvidenceError, match="must be a dict"):
        request([1])


def test_changed_verdicts_change_what_is_asked():
    assert request({**RESULT, "verdict": "fail"}).fingerprint != request().fingerprint


def test_the_form_shows_a_table_that_nothing_breaks():
    body = request().body("Please look.")
    assert body.startswith("Please look.")
    assert "- **Submitted by:** `ml`" in body
    assert "| a\\|b | 0.7 | 0.8123 | pass | x y |" in body


def test_any_dict_can_be_approved():
    made = request({"rows": 3, "what": "a | b"})
    assert made.subject == "airflow://d/t"
    assert "| what | a \\| b |" in made.body(None)
    assert request({"subject": "project://p/pilot"}).subject == "project://p/pilot"
    assert answer(on=made).evidence["evidence_hash"] == digest({"rows": 3, "what": "a | b"})


def test_several_verdicts_are_a_table_each():
    body = request({"pilots": [RESULT, {**RESULT, "candidate": "logistic"}], "owner": "ml"}).body(
        ""
    )
    assert "#### boosting, pass\n\n| criterion |" in body
    assert "#### logistic, pass" in body
    assert "| owner | ml |" in body
    assert len(request({"long": "x" * 9000}).body("")) < 1000
