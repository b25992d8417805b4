"""The promotion operators and their hook: contexts made by hand, a real store, HTTP between."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import duckdb
import pytest
from airflow.providers.standard.exceptions import HITLRejectException, HITLTimeoutError
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, BaseOperator, Param
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSkipException,
    DownstreamTasksSkipped,
)

from airflow_ai_provider.assets import model_asset
from airflow_ai_provider.core.errors import (
    ModelGateError,
    RegistryError,
    RegistryUnavailableError,
)
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.hooks.promotion import ModelRegistryHook
from airflow_ai_provider.operators.promotion import (
    ModelCopyOperator,
    ModelGateOperator,
    ModelPromoteOperator,
    ModelRollbackOperator,
    PromotionApprovalOperator,
)
from tests.edge.promotion_scene import answering, connection, context_of

# --- the gate ----------------------------------------------------------------------------------


@pytest.fixture
def evidence(tmp_path):
    path = tmp_path / "p.parquet"
    duckdb.sql(
        f"COPY (SELECT i % 2 AS label, i % 2 * 0.5 + 0.2 AS score FROM range(50) t(i)) TO '{path}'"
    )
    return {
        "model_name": "flights",
        "run_id": "run1",
        "version": "1",
        "candidate": "boosting",
        "predictions": str(path),
    }


GOOD = [{"kind": "threshold", "metric": "roc_auc", "min": 0.7}]
BAD = [{"kind": "min_rows", "min": 51}]


def gate(evidence, criteria, **arguments):
    return ModelGateOperator(task_id="judge", evidence=evidence, criteria=criteria, **arguments)


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


# --- approval ----------------------------------------------------------------------------------


class Parked(BaseException):
    """Airflow took the question."""


@pytest.fixture
def asked(monkeypatch):
    """Keep what Airflow is asked to show, and park as it does."""
    shown = {}

    def park(self, context):
        shown.update(body=self.body, users=self.assigned_users, params=self.serialized_params)
        raise Parked

    monkeypatch.setattr(HITLOperator, "execute", park)
    return shown


@pytest.fixture
def verdict(ledger, evidence):
    operator = gate(evidence, GOOD)
    return operator.execute(context_of(operator))


def approval(verdict, **arguments):
    return PromotionApprovalOperator(
        **{
            "task_id": "approve",
            "subject": "May it go?",
            "evidence": verdict,
            "assigned_users": ["sponsor", "ml"],
            **arguments,
        }
    )


def answer(by="sponsor", choice="Approve", **params):
    return {
        "chosen_options": [choice],
        "params_input": {"comment": None, **params},
        "responded_at": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "responded_by_user": {"id": by, "name": by} if by else None,
    }


def ask(operator, **context):
    made = context_of(operator, **context)
    with pytest.raises(Parked):
        operator.execute(made)
    return made["ti"].pushed


def test_the_form_shows_the_criteria_to_others_than_the_submitter(verdict, asked):
    ask(approval(verdict, body="Please."))
    assert asked["users"] == [{"id": "sponsor", "name": "sponsor"}]
    assert "| roc_auc threshold | 0.7 | 1 | pass |" in asked["body"]
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
    with pytest.raises(ValueError, match=r"Invalid input|does not match|not in"):
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


# --- the move ----------------------------------------------------------------------------------


def move(environment="dev", version="1", **arguments):
    return ModelPromoteOperator(
        task_id=f"to_{environment}",
        model_name="flights",
        version=version,
        environment=environment,
        **arguments,
    )


def test_a_move_is_made_recorded_and_emitted(ledger, registry):
    operator = move()
    asset = model_asset("flights", "dev")
    assert operator.outlets == [asset]
    context = context_of(operator)
    result = operator.execute(context)
    assert result == {
        "model_name": "flights",
        "version": "1",
        "environment": "dev",
        "previous": None,
        "record": ledger.search()[0].id,
    }
    assert registry.aliases("flights") == {"dev": "1"}
    assert context["outlet_events"][asset].extra == result
    assert ledger.search()[0].evidence["moved_by"] == "d/r/to_dev"
    assert operator.execute(context_of(operator, try_number=2)) == result


def test_from_verdict_and_approval_to_production(ledger, registry, verdict, asked):
    decided = {"decision": verdict["record"], "evidence_hash": verdict["evidence_hash"]}
    for environment in ("dev", "test", "staging"):
        operator = move(environment, **decided)
        operator.execute(context_of(operator))
    question = approval(verdict)
    pushed = ask(question)
    said = question.execute_complete(context_of(approval(verdict), pushed=pushed), answer())
    operator = move("production", approval=said["record"], **decided)
    record = ledger.get(operator.execute(context_of(operator))["record"])
    assert record.decided_by == "sponsor"
    assert registry.aliases("flights")["production"] == "1"


def test_templates_that_gave_nothing_are_nothing(ledger, registry):
    operator = move(version=1, decision="None", approval="", evidence_hash=None, override={})
    assert operator.execute(context_of(operator))["version"] == "1"


def test_a_name_known_only_at_run_time_is_emitted_too(ledger, registry):
    operator = ModelPromoteOperator(
        task_id="t", model_name="{{ params.m }}", version="1", environment="dev"
    )
    assert operator.outlets == []
    operator.model_name = "flights"
    operator.execute(context_of(operator))
    assert operator.outlets == [model_asset("flights", "dev")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"environment": "production"}, "was never in staging"),
        ({"environment": "prod"}, "no environment 'prod'"),
        ({"decision": "nowhere"}, "no model record nowhere"),
        ({"expected": "2"}, "names no version, not 2 as expected"),
    ],
)
def test_a_refusal_is_not_retried(ledger, registry, arguments, message):
    operator = move(**arguments)
    with pytest.raises(AirflowFailException, match=message):
        operator.execute(context_of(operator))
    assert registry.aliases("flights") == {}


def test_a_registry_that_is_away_is_tried_again_by_airflow(ledger, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", connection(host="http://127.0.0.1:1"))
    operator = move()
    with pytest.raises(RegistryUnavailableError):
        operator.execute(context_of(operator))


# --- the smoke check and the copy --------------------------------------------------------------


def test_a_move_that_the_endpoint_does_not_serve_fails_and_is_taken_back(ledger, registry):
    first = move()
    first.execute(context_of(first))
    nobody = {"url": "http://127.0.0.1:1/invocations", "inputs": [[1]], "patience": 0}
    operator = move(version="2", smoke_check=nobody)
    context = context_of(operator)
    with pytest.raises(AirflowFailException, match=r"does not answer.*taken back to version 1"):
        operator.execute(context)
    assert context["outlet_events"] == {}
    assert registry.aliases("flights") == {"dev": "1"}
    assert [r.kind for r in ledger.search()] == ["promotion", "promotion", "rollback"]


def test_a_smoke_check_that_means_nothing_moves_nothing(ledger, registry):
    operator = move(smoke_check={"url": "http://127.0.0.1:1"})
    with pytest.raises(AirflowFailException, match="needs url and inputs"):
        operator.execute(context_of(operator))
    assert registry.aliases("flights") == {}


@pytest.mark.parametrize(
    ("said", "header"),
    [
        ({"login": "ml", "password": "s"}, "Basic bWw6cw=="),
        ({"extra": {"token": "t"}}, "Bearer t"),
    ],
)
def test_a_connection_lets_the_smoke_check_in(ledger, registry, monkeypatch, said, header):
    asked = []
    with answering([0.5], asked) as url:
        monkeypatch.setenv("AIRFLOW_CONN_SERVING", connection(conn_type="http", **said))
        operator = move(smoke_check={"url": url, "inputs": [[1]]}, smoke_conn_id="serving")
        assert operator.execute(context_of(operator))["version"] == "1"
    assert asked == [([[1]], header)]


def test_a_copy_under_the_same_name_is_refused(ledger, registry):
    operator = ModelCopyOperator(
        task_id="copy",
        model_name="flights",
        version=1,
        target_name="flights",
        mlflow_conn_id="mlflow_default",
    )
    with pytest.raises(AirflowFailException, match="needs a name of its own"):
        operator.execute(context_of(operator))


# --- the way back ------------------------------------------------------------------------------


def back(**arguments):
    return ModelRollbackOperator(
        **{"task_id": "back", "model_name": "flights", "environment": "dev", **arguments}
    )


@pytest.fixture
def two_in_dev(ledger, registry):
    for version in ("1", "2"):
        operator = move(version=version)
        operator.execute(context_of(operator))


def test_one_task_goes_back_records_and_emits(two_in_dev, ledger, registry):
    operator = back(reason="live quality fell")
    asset = model_asset("flights", "dev")
    assert operator.outlets == [asset]
    context = context_of(operator, user="ada")
    result = operator.execute(context)
    record = ledger.get(result["record"])
    assert (result["version"], result["previous"]) == ("1", "2")
    assert (record.kind, record.decided_by, record.task_id) == ("rollback", "ada", "back")
    assert context["outlet_events"][asset].extra == result
    assert registry.aliases("flights") == {"dev": "1"}
    assert operator.execute(context_of(operator, try_number=2)) == result
    assert context["ti"].pushed["mlflow_version"].endswith("/#/models/flights/versions/1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"environment": "test"}, "no previous version to go back to"),
        ({"environment": "prod"}, "no environment 'prod'"),
        ({"target": 2}, "holds version 2 already"),
        ({"target": 9}, "it is deleted"),
        ({"expected": "7"}, "names 2, not 7 as expected"),
        ({"override": {"by": "ada"}}, "needs who and why"),
    ],
)
def test_a_way_back_that_is_none_is_not_retried(two_in_dev, registry, arguments, message):
    operator = back(**arguments)
    with pytest.raises(AirflowFailException, match=message):
        operator.execute(context_of(operator))
    assert registry.aliases("flights") == {"dev": "2"}


def test_templates_of_a_way_back_that_gave_nothing(two_in_dev, ledger):
    operator = back(target="None", reason="", for_cause="False", override="", approval="None")
    record = ledger.get(operator.execute(context_of(operator))["record"])
    assert record.evidence["for_cause"] is False


# --- the hook ----------------------------------------------------------------------------------


def settings(monkeypatch, **fields):
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", connection(**fields))
    return ModelRegistryHook().get_settings()


@pytest.mark.parametrize(
    ("fields", "uri"),
    [
        ({"host": "http://h:5000"}, "http://h:5000"),
        ({"host": "sqlite:////a/mlflow.db"}, "sqlite:////a/mlflow.db"),
        ({"host": "h", "port": 5000}, "http://h:5000"),
        ({"host": "h", "schema": "https"}, "https://h"),
        ({"host": "databricks"}, "databricks"),
    ],
)
def test_a_connection_is_an_address(monkeypatch, fields, uri):
    assert settings(monkeypatch, **fields).tracking_uri == uri


def test_a_connection_has_secrets_and_extras(monkeypatch):
    extra = {"token": "t", "registry_uri": "http://r", "verify_tls": False, "timeout": "3"}
    found = settings(monkeypatch, host="https://h", login="ml", password="s", extra=extra)
    assert (found.username, found.password, found.token) == ("ml", "s", "t")
    assert (found.uri, found.verify_tls, found.timeout) == ("http://r", False, 3.0)
    assert found.environment()["MLFLOW_TRACKING_INSECURE_TLS"] == "true"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "names no host"),
        ({"host": "h", "extra": {"timeout": "soon"}}, "timeout 'soon'"),
        ({"host": "h", "extra": {"timeout": -1}}, "timeout -1"),
    ],
)
def test_a_connection_that_means_nothing(monkeypatch, fields, message):
    with pytest.raises(RegistryError, match=message):
        settings(monkeypatch, **fields)


def test_what_the_hook_tells(registry, ledger):
    hook = ModelRegistryHook()
    assert hook.version_at("flights", "production") is None
    registry.set_alias("flights", "production", "2")
    assert hook.version_at("flights", "production") == "2"
    assert hook.champion("flights")["run_id"] == "run2"
    (drift,) = hook.check_aliases("flights")
    assert drift["found"] == "2"


def test_the_hooks_test_button(registry, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", connection(host="http://127.0.0.1:1"))
    done, message = ModelRegistryHook().test_connection()
    assert not done
    assert "does not answer" in message
