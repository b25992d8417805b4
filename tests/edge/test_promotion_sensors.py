"""The sensors of promotion, and the trigger that waits for one of them."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_ai_provider.assets import model_asset
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.core.lifecycle.visible import EVERYTHING
from airflow_ai_provider.get_provider_info import get_provider_info
from airflow_ai_provider.links.promotion import ModelVersionLink
from airflow_ai_provider.operators.promotion import ModelPromoteOperator, ModelRollbackOperator
from airflow_ai_provider.plugins.promotion import alarms_of, history_of
from airflow_ai_provider.sensors.promotion import AliasDriftSensor, ModelVersionSensor
from airflow_ai_provider.triggers.promotion import ModelVersionTrigger
from tests.edge.promotion_scene import connection, context_of


def wait(**arguments):
    return ModelVersionSensor(task_id="wait", **{"model_name": "flights", **arguments})


def look(sensor):
    found = sensor.poke(context_of(sensor))
    return found.xcom_value if found else None


@pytest.mark.parametrize(
    ("arguments", "version"),
    [
        ({}, "2"),
        ({"version": 1}, "1"),
        ({"version": "3"}, None),
        ({"newer_than": "1"}, "2"),
        ({"newer_than": 2}, None),
        ({"environment": "production"}, "1"),
        ({"environment": "production", "version": "2"}, None),
        ({"environment": "production", "newer_than": "None", "version": ""}, "1"),
        ({"environment": "staging"}, None),
        ({"model_name": "nobody"}, None),
    ],
)
def test_what_is_there_and_what_is_not(registry, arguments, version):
    registry.set_alias("flights", "production", "1")
    found = look(wait(**arguments))
    assert (found["version"] if found else None) == version
    if found:
        assert found["run_id"] == f"run{version}"
        assert found["environment"] == arguments.get("environment")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"newer_than": "soon"}, "no version number"), ({"model_name": ""}, "No model is named")],
)
def test_what_means_nothing_is_not_waited_for(registry, arguments, message):
    with pytest.raises(AirflowFailException, match=message):
        look(wait(**arguments))


def test_a_registry_that_is_away_is_asked_again_later(registry, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", connection(host="http://127.0.0.1:1"))
    assert look(wait()) is None


def test_it_defers_no_sooner_than_airflow_bears(registry):
    sensor = wait(environment="production", newer_than="1", deferrable=True, poke_interval=7)
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(context_of(sensor))
    trigger = caught.value.trigger
    assert caught.value.method_name == "execute_complete"
    path, arguments = trigger.serialize()
    assert path == "airflow_ai_provider.triggers.promotion.ModelVersionTrigger"
    assert arguments["not_before"] > datetime.now(timezone.utc) + timedelta(seconds=1)
    assert {k: v for k, v in arguments.items() if k != "not_before"} == {
        "model_name": "flights",
        "environment": "production",
        "version": None,
        "newer_than": 1,
        "poll_interval": 7.0,
        "mlflow_conn_id": "mlflow_default",
    }


def test_it_does_not_defer_for_what_is_there(registry):
    sensor = wait(deferrable=True)
    context = context_of(sensor)
    assert sensor.execute(context)["version"] == "2"
    assert context["ti"].pushed["mlflow_version"].endswith("/#/models/flights/versions/2")


def test_the_trigger_fires_once_when_it_is_there(registry):
    async def fire():
        trigger = ModelVersionTrigger(
            model_name="flights", environment="production", poll_interval=0.02
        )
        events = []

        async def listen():
            events.extend([event.payload async for event in trigger.run()])

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0.3)
        assert events == []
        registry.away = True
        await asyncio.sleep(0.1)
        registry.away = False
        await asyncio.to_thread(registry.set_alias, "flights", "production", "2")
        await asyncio.wait_for(listening, 10)
        return events

    (event,) = asyncio.run(fire())
    assert event["found"]["version"] == "2"
    sensor = wait()
    assert sensor.execute_complete(context_of(sensor), event) == event["found"]


def test_the_trigger_tells_of_a_registry_that_refuses(monkeypatch, registry):
    async def fire(trigger):
        return [event.payload async for event in trigger.run()]

    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", connection(host="h", extra={"timeout": -1}))
    trigger = ModelVersionTrigger(model_name="flights", environment="production")
    (event,) = asyncio.run(fire(trigger))
    assert "timeout -1" in event["error"]
    sensor = wait()
    with pytest.raises(AirflowFailException, match="timeout -1"):
        sensor.execute_complete(context_of(sensor), event)


# --- moves by hand ------------------------------------------------------------------------------


def test_a_move_by_hand_raises_the_alarm_and_is_put_back(registry, ledger):
    for version in ("1", "2"):
        operator = ModelPromoteOperator(
            task_id=f"to{version}", model_name="flights", version=version, environment="dev"
        )
        operator.execute(context_of(operator))
    sensor = AliasDriftSensor(task_id="watch", model_name="flights")
    assert sensor.reschedule
    assert not sensor.poke(context_of(sensor))
    registry.set_alias("flights", "dev", "1")
    (alarm,) = look(sensor)
    record = ledger.get(alarm["alarm"])
    assert (record.verdict, record.task_id, record.decided_by) == (
        "fail",
        "watch",
        "ModelRegistryHook",
    )
    assert [a["id"] for a in alarms_of(EVERYTHING, "flights")] == [alarm["alarm"]]
    back = ModelRollbackOperator(
        task_id="back",
        model_name="flights",
        environment="dev",
        target=alarm["expected"],
        expected=alarm["found"],
        for_cause=False,
    )
    assert back.execute(context_of(back))["version"] == "2"
    assert not sensor.poke(context_of(sensor))
    assert [r.verdict for r in ledger.search(kind=GateKind.DRIFT)] == ["fail", "pass"]
    assert alarms_of(EVERYTHING, "flights") == []
    told = history_of(EVERYTHING, "flights")
    assert [i["version"] for i in told] == ["1", "2", "2"]
    then = datetime.fromisoformat(told[0]["from"])
    for moment in (then, then.replace(tzinfo=None)):
        assert [i["version"] for i in history_of(EVERYTHING, "flights", moment)] == ["1"]


def test_a_registry_that_is_away_alarms_nobody(ledger, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", connection(host="http://127.0.0.1:1"))
    sensor = AliasDriftSensor(task_id="watch", model_name="flights")
    assert not sensor.poke(context_of(sensor))
    assert ledger.search() == []


# --- the asset and the link ---------------------------------------------------------------------


def test_an_asset_of_a_model_keeps_its_whole_address():
    schemes = {s for group in get_provider_info()["asset-uris"] for s in group["schemes"]}
    assert "mlflow" in schemes
    made = [model_asset(name, alias) for name in ("a", "b") for alias in ("dev", "test")]
    assert len({asset.uri for asset in made}) == 4
    assert Asset(name="mlflow://a@dev", uri="mlflow://a@dev") == made[0]


def test_a_registry_without_pages_has_no_link(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", connection(host="sqlite:////a/mlflow.db"))
    operator = ModelPromoteOperator(task_id="t", model_name="m", version="1", environment="dev")
    context = context_of(operator)
    ModelVersionLink.persist(context, "mlflow_default", "m", "1")
    assert context["ti"].pushed["mlflow_version"] == ""


def test_a_link_shows_no_secret(monkeypatch):
    host = "https://ml:secret@mlflow.example"
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", connection(host=host))
    operator = ModelPromoteOperator(task_id="t", model_name="m", version="1", environment="dev")
    context = context_of(operator)
    ModelVersionLink.persist(context, "mlflow_default", "a model/x", "3")
    link = ModelVersionLink().get_link(operator, ti_key=context["ti"])
    assert link == "https://mlflow.example/#/models/a%20model%2Fx/versions/3"
