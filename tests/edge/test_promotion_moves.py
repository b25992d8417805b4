"""The moves: forwards, with a smoke check, and to another server."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
)

from airflow_ai_provider.assets import model_asset
from airflow_ai_provider.core.errors import (
    RegistryUnavailableError,
)
from airflow_ai_provider.operators.promotion import (
    ModelCopyOperator,
    ModelPromoteOperator,
)
from tests.edge.promotion_scene import answering, connection, context_of
from tests.edge.promotion_tasks import answer, approval, ask, move


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
