"""The sensor, its trigger and the guard on a data set's newest gate record."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_ai_provider.core.errors import DataQualityRequiredError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.hooks.quality import DataQualityHook
from airflow_ai_provider.operators.quality_required import DataQualityRequiredOperator
from airflow_ai_provider.sensors.quality import DataQualitySensor
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.triggers.quality import DataQualityTrigger
from tests.edge.gpu_tasks import context, first_event


def judged(ledger: Ledger, verdict: str) -> str:
    draft = GateDraft(kind=GateKind.DATA, subject="ai-data://orders/1", verdict=Verdict(verdict))
    return ledger.append(draft).id


def sensor(**arguments: Any) -> DataQualitySensor:
    facts: dict[str, Any] = {"task_id": "wait", "dataset": "orders", "partition": "1"}
    return DataQualitySensor(**facts | {"deferrable": False} | arguments)


def guard(**arguments: Any) -> DataQualityRequiredOperator:
    return DataQualityRequiredOperator(**{"task_id": "guard", "dataset": "orders"} | arguments)


def test_the_sensor_waits_for_a_good_record(ledger: Ledger) -> None:
    assert not sensor().poke(context())
    judged(ledger, "fail")
    assert not sensor().poke(context())
    with pytest.raises(AirflowFailException, match="says fail"):
        sensor(fail_when_refused=True).poke(context())
    good = judged(ledger, "warn")
    assert not sensor(verdict="pass").poke(context())
    assert not sensor(max_age=timedelta(0)).poke(context())
    seen = sensor(max_age=60).poke(context())
    assert seen
    assert seen.xcom_value["record"] == good


def test_a_sensor_that_asks_for_nonsense_does_not_wait(ledger: Ledger) -> None:
    with pytest.raises(AirflowFailException, match="max_age is 'soon'"):
        sensor(max_age="soon").poke(context())


def test_a_deferrable_sensor_defers_only_while_it_must(ledger: Ledger) -> None:
    before = time.time()
    waiting = sensor(deferrable=True, max_age=timedelta(hours=1), poke_interval=7)
    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute(context())
    trigger = deferred.value.trigger
    assert isinstance(trigger, DataQualityTrigger)
    assert trigger.not_before >= before + conf.getint("workers", "min_heartbeat_interval") + 1
    assert json.loads(json.dumps(trigger.serialize()[1]["required"]))["max_age"] == 3600
    assert (deferred.value.method_name, trigger.poll_interval) == ("execute_complete", 7)
    good = judged(ledger, "pass")
    assert waiting.execute(context())["record"] == good


def test_what_the_trigger_saw_ends_the_wait(ledger: Ledger) -> None:
    assert sensor().execute_complete(context(), {"met": True, "record": "r"})["record"] == "r"
    with pytest.raises(AirflowFailException, match="says fail"):
        sensor().execute_complete(context(), {"met": False, "message": "It says fail."})


def test_the_trigger_is_rebuilt_from_what_it_says() -> None:
    trigger = DataQualityTrigger(
        required={"dataset": "orders"}, fail_when_refused=True, not_before=3.0, poll_interval=4.0
    )
    path, arguments = trigger.serialize()
    assert path == "airflow_ai_provider.triggers.quality.DataQualityTrigger"
    assert DataQualityTrigger(**arguments).serialize() == (path, arguments)


@pytest.mark.parametrize(("stop", "met"), [(False, True), (True, False)])
def test_the_trigger_fires_on_what_was_asked_for(ledger: Ledger, stop: bool, met: bool) -> None:
    required = {"dataset": "orders", "partition": "1"}
    trigger = DataQualityTrigger(
        required=required, fail_when_refused=stop, not_before=time.time() + 0.2, poll_interval=0.05
    )

    async def meanwhile() -> dict[str, Any]:
        firing = asyncio.create_task(asyncio.to_thread(first_event, trigger))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(judged, ledger, "fail")
        await asyncio.sleep(0.2)
        assert firing.done() is stop
        await asyncio.to_thread(judged, ledger, "pass")
        return await firing

    event = asyncio.run(meanwhile())
    assert (event["met"], event["verdict"]) == (met, "pass" if met else "fail")


def test_the_guard_lets_good_data_pass(ledger: Ledger) -> None:
    good = judged(ledger, "pass")
    told = guard(partition="1", verdict="pass", max_age="60").execute(context())
    assert (told["met"], told["record"], told["reason"]) == (True, good, None)


def test_the_guard_fails_or_skips_as_told(ledger: Ledger) -> None:
    judged(ledger, "fail")
    at = context()
    with pytest.raises(AirflowFailException, match="says fail; warn is required"):
        guard().execute(at)
    assert at["ti"].xcoms["return_value"]["reason"] == "refused"
    with pytest.raises(AirflowSkipException):
        guard(on_fail="skip").execute(context())
    assert guard(on_fail="warn").execute(context())["met"] is False
    with pytest.raises(AirflowFailException, match="on_fail is 'whatever'"):
        guard(on_fail="whatever").execute(context())


def test_code_of_a_users_own_may_ask_too(ledger: Ledger) -> None:
    with pytest.raises(DataQualityRequiredError, match="No data gate has judged"):
        DataQualityHook().require(dataset="orders")
    judged(ledger, "pass")
    assert DataQualityHook().require(dataset="orders", max_age=60)
