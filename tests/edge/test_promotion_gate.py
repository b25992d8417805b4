"""The model gate: a verdict on record, and what follows from it."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSkipException,
    DownstreamTasksSkipped,
)

from airflow_ai_provider.core.errors import (
    ModelGateError,
    RegistryUnavailableError,
)
from airflow_ai_provider.operators.promotion import (
    ModelGateOperator,
)
from tests.edge.promotion_scene import connection, context_of
from tests.edge.promotion_tasks import BAD, GOOD, gate


def test_a_pass_is_returned_and_on_record(ledger, evidence):
    operator = gate(evidence, GOOD, project="p")
    result = operator.execute(context_of(operator))
    assert result["passed"] is True
    record = ledger.get(result["record"])
    assert (record.kind, record.subject, record.verdict) == ("model", "mlflow://flights/1", "pass")
    assert (record.decided_by, record.task_id) == ("ModelGateOperator", "judge")
    assert record.evidence["project"] == "p"
    assert json.loads(json.dumps(result)) == result


def test_a_retry_leaves_one_record(ledger, evidence):
    operator = gate(evidence, GOOD)
    records = {
        operator.execute(context_of(operator, try_number=number))["record"] for number in (1, 2)
    }
    assert len(records) == 1
    assert len(ledger.search()) == 1


def test_a_refusal_is_pushed_before_it_is_raised(ledger, evidence):
    operator = gate(evidence, BAD)
    context = context_of(operator)
    with pytest.raises(
        AirflowFailException, match=r"\(boosting\) is refused: There are 50"
    ) as caught:
        operator.execute(context)
    assert isinstance(caught.value.__cause__, ModelGateError)
    assert caught.value.__cause__.facts["failed"][0]["name"] == "min_rows"
    assert context["ti"].pushed["return_value"]["passed"] is False
    assert ledger.search()[0].verdict == "fail"


def test_a_refusal_may_skip_or_warn(ledger, evidence):
    operator = gate(evidence, BAD, on_fail="skip")
    context = context_of(operator)
    with pytest.raises(AirflowSkipException):
        operator.execute(context)
    assert context["ti"].pushed["return_value"]["verdict"] == "fail"
    operator = gate(evidence, BAD, on_fail="warn")
    assert operator.execute(context_of(operator))["passed"] is False


@pytest.mark.parametrize(("criteria", "skipped"), [(BAD, ["go_on"]), (GOOD, ["repair"])])
def test_a_verdict_may_branch(ledger, evidence, criteria, skipped):
    with DAG("d", schedule=None):
        operator = gate(evidence, criteria, on_fail="branch", branch_task_ids="repair")
        operator >> [BaseOperator(task_id=name) for name in ("repair", "go_on")]
    context = context_of(operator)
    with pytest.raises(DownstreamTasksSkipped) as caught:
        operator.execute(context)
    assert list(caught.value.tasks) == skipped
    assert context["ti"].pushed["return_value"]["record"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"criteria": [{"kind": "x"}]}, "unknown kind"),
        ({"criteria": "/nowhere.yaml"}, "cannot be read"),
        ({"evidence": {}}, "has no model_name"),
        ({"on_fail": "explode"}, "Choose one of fail, skip, branch, warn"),
        ({"on_fail": "branch"}, "names no task"),
    ],
)
def test_hopeless_input_is_not_retried(ledger, evidence, arguments, message):
    operator = ModelGateOperator(
        task_id="judge", **{"evidence": evidence, "criteria": GOOD, **arguments}
    )
    with pytest.raises(AirflowFailException, match=message):
        operator.execute(context_of(operator))
    assert ledger.search() == []


@pytest.mark.parametrize(("live", "passed"), [("2", True), ("1", False), (None, False)])
def test_the_champion_compared_with_must_be_the_live_one(ledger, registry, evidence, live, passed):
    if live:
        registry.set_alias("flights", "production", live)
    compared = {"reference_kind": "champion", "reference_version": "2"}
    operator = gate({**evidence, **compared}, GOOD, on_fail="warn")
    result = operator.execute(context_of(operator))
    assert result["passed"] is passed
    assert result["criteria"][-1]["name"] == "champion_is_live"
    assert result["criteria"][-1]["observed"] == live


def test_a_registry_that_is_away_judges_nothing(ledger, evidence, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", connection(host="http://127.0.0.1:1"))
    operator = gate({**evidence, "reference_kind": "champion", "reference_version": "2"}, GOOD)
    with pytest.raises(RegistryUnavailableError):
        operator.execute(context_of(operator))
    assert ledger.search() == []
