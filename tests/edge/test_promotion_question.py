"""The question for approval: what it shows, who may answer, and what an answer leaves."""

from __future__ import annotations

import pytest
from airflow.providers.standard.exceptions import HITLRejectException, HITLTimeoutError
from airflow.sdk import DAG, BaseOperator, Param
from airflow.sdk.exceptions import (
    AirflowFailException,
    DownstreamTasksSkipped,
    ParamValidationError,
)

from airflow_ai_provider.core.gate import GateKind
from tests.edge.promotion_scene import context_of
from tests.edge.promotion_tasks import answer, approval, ask


def test_the_form_shows_the_criteria_to_others_than_the_submitter(verdict, asked):
    ask(approval(verdict, body="Please."))
    assert asked["users"] == [{"id": "sponsor", "name": "sponsor"}]
    assert "| roc\\_auc threshold | 0.7 | 1 | pass |" in asked["body"]
    assert asked["body"].startswith("Please.")
    assert asked["params"]["comment"]["schema"]["type"] == ["null", "string"]


@pytest.mark.parametrize("map_index", [-1, 3])
def test_an_approval_is_recorded_with_its_evidence(verdict, asked, ledger, map_index):
    pushed = ask(approval(verdict), map_index=map_index)
    operator = approval(verdict)  # a new process
    context = context_of(operator, pushed=pushed, map_index=map_index)
    result = operator.execute_complete(context, answer(comment="fine"))
    assert result["chosen_options"] == ["Approve"]
    assert result["approved"] is True
    assert result["evidence_hash"] == verdict["evidence_hash"]
    record = ledger.get(result["record"])
    assert (record.kind, record.verdict, record.decided_by) == ("approval", "pass", "sponsor")
    assert record.evidence["decision"] == verdict["record"]
    assert record.evidence["submitter"] == "ml"
    assert record.map_index == map_index
    assert context["ti"].pushed["approval"]["record"] == record.id


def test_a_no_is_recorded_too(verdict, asked, ledger):
    pushed = ask(approval(verdict))
    operator = approval(verdict, fail_on_reject=True)
    context = context_of(operator, pushed=pushed)
    with pytest.raises(HITLRejectException):
        operator.execute_complete(context, answer(choice="Reject"))
    assert ledger.get(context["ti"].pushed["approval"]["record"]).verdict == "fail"


def test_a_no_skips_what_follows(verdict, asked, ledger):
    pushed = ask(approval(verdict))
    with DAG("d", schedule=None):
        operator = approval(verdict)
        operator >> BaseOperator(task_id="promote")
    with pytest.raises(DownstreamTasksSkipped):
        operator.execute_complete(context_of(operator, pushed=pushed), answer(choice="Reject"))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (answer(by="ml"), "ml submitted mlflow://flights/1 and may not approve"),
        (answer(by=None), "names nobody"),
        (answer(by="viewer"), "not among those asked"),
        (answer(comment="x" * 3000), "comment must be a text"),
    ],
)
def test_an_answer_that_does_not_hold_is_not_recorded(verdict, asked, ledger, event, message):
    pushed = ask(approval(verdict))
    operator = approval(verdict)
    with pytest.raises(AirflowFailException, match=message):
        operator.execute_complete(context_of(operator, pushed=pushed), event)
    assert ledger.search(kind=GateKind.APPROVAL) == []


@pytest.mark.parametrize("event", [answer(comment=3), answer(other="x"), answer(choice="Perhaps")])
def test_a_form_that_was_filled_in_wrongly_is_asked_again(verdict, asked, ledger, event):
    pushed = ask(approval(verdict))
    operator = approval(verdict)
    wrong = (ValueError, ParamValidationError)  # the second is one of the first since 3.3
    with pytest.raises(wrong, match=r"Invalid input|does not match|not in"):
        operator.execute_complete(context_of(operator, pushed=pushed), event)
    assert ledger.search(kind=GateKind.APPROVAL) == []


def test_evidence_that_changed_voids_the_answer(verdict, asked):
    pushed = ask(approval(verdict))
    operator = approval({**verdict, "criteria": []})
    with pytest.raises(AirflowFailException, match="changed since it was shown"):
        operator.execute_complete(context_of(operator, pushed=pushed), answer())


def test_nobody_in_time_is_no_answer(verdict, asked):
    pushed = ask(approval(verdict))
    operator = approval(verdict)
    with pytest.raises(HITLTimeoutError):
        operator.execute_complete(
            context_of(operator, pushed=pushed), {"error": "timeout", "error_type": "timeout"}
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"defaults": "Approve"}, "no default answer"),
        ({"assigned_users": []}, "no user is assigned"),
        ({"assigned_users": "ml"}, "but ml, who submitted it"),
        ({"evidence": {"evidence_hash": "x", "evidence": {}}}, "does not fit its own hash"),
        ({"submitter": "sponsor", "assigned_users": ["sponsor"]}, "but sponsor"),
    ],
)
def test_what_cannot_be_asked(verdict, asked, arguments, message):
    operator = approval(verdict, **arguments)
    with pytest.raises(AirflowFailException, match=message):
        operator.execute(context_of(operator))


def test_the_form_keeps_its_own_fields_and_not_those_of_the_dag(verdict):
    with DAG("d", schedule=None, params={"month": Param("x", type="string")}):
        operator = approval(verdict, params={"why": Param(None, type=["null", "string"])})
    assert set(operator.serialized_params) == {"comment", "why"}
    assert operator.serialized_params["why"]["schema"] == {"type": ["null", "string"]}
