"""The Airflow side of the GPU pool, without Airflow's processes."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_ai_provider.core.errors import GpuWaitTimeoutError
from airflow_ai_provider.core.gpu.lease import LEASE_VARIABLE
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import RequestState
from airflow_ai_provider.decorators.gpu import gpu_task
from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.operators.gpu import GPU_FIELDS, GpuPythonOperator
from airflow_ai_provider.services.gpu import GpuPool, Lease
from airflow_ai_provider.triggers.gpu import GpuLeaseTrigger

URL = "AIRFLOW_CONN_AI_STORE_DEFAULT"
DEVICES = "AIRFLOW__AI_PROVIDER__STATIC_DEVICES"


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GpuPool:
    monkeypatch.setenv(URL, f'{{"extra": {{"url": "sqlite:///{tmp_path}/ai.db"}}}}')
    monkeypatch.setenv(DEVICES, "cpu:0")
    return GpuPoolHook().get_conn()


def context(try_number: int = 1) -> dict[str, Any]:
    ti = SimpleNamespace(
        id=uuid.uuid4(), dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=try_number
    )
    return {"ti": ti}


def execute(operator: GpuPythonOperator, method: str, *arguments: Any) -> Any:
    token = ExecutorSafeguard.tracker.set(operator)
    try:
        return getattr(operator, method)(*arguments)
    finally:
        ExecutorSafeguard.tracker.reset(token)


def task(function: Callable[..., Any], **arguments: Any) -> GpuPythonOperator:
    return GpuPythonOperator(
        task_id="t", python_callable=function, deferrable=True, dag=DAG("d"), **arguments
    )


def occupy(pool: GpuPool) -> Lease:
    lease = pool.try_acquire(pool.ticket(GpuRequest.of(), holder="other"))
    assert lease is not None
    return lease


def first_event(trigger: GpuLeaseTrigger) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async for event in trigger.run():
            payload: dict[str, Any] = event.payload
            return payload
        raise AssertionError("the trigger ended without an event")

    return asyncio.run(asyncio.wait_for(run(), 20))


def test_a_task_that_finds_a_free_device_does_not_defer(pool: GpuPool) -> None:
    seen = execute(task(lambda: os.environ[LEASE_VARIABLE]), "execute", context())
    assert len(seen.split(":")) == 2
    assert LEASE_VARIABLE not in os.environ
    assert pool.gpu.leases() == []


def test_a_task_whose_function_fails_releases(pool: GpuPool) -> None:
    with pytest.raises(ZeroDivisionError):
        execute(task(lambda: 1 / 0), "execute", context())
    assert pool.gpu.leases() == []


def test_a_task_defers_keeps_its_place_and_comes_back(pool: GpuPool) -> None:
    other = occupy(pool)
    waiting, at = task(lambda: "done"), context()
    with pytest.raises(TaskDeferred) as deferred:
        execute(waiting, "execute", at)
    trigger = deferred.value.trigger
    assert isinstance(trigger, GpuLeaseTrigger)
    assert trigger.not_before >= time.time() + 1  # a heartbeat and a second after the defer
    trigger.not_before = 0.0
    pool.release(other)
    event = first_event(trigger)
    assert event["outcome"] == "claimable"
    assert execute(task(lambda: "done"), "execute_with_lease", at, event) == "done"
    assert pool.gpu.leases() == []


def test_a_task_that_comes_back_too_late_waits_again_in_its_place(pool: GpuPool) -> None:
    other = occupy(pool)
    at = context()
    with pytest.raises(TaskDeferred) as first:
        execute(task(lambda: "done", max_wait=60), "execute", at)
    event = {"outcome": "claimable", "ticket": "", "reason": "", "deadline": 5.0}
    with pytest.raises(TaskDeferred) as second:
        execute(task(lambda: "done", max_wait=60), "execute_with_lease", at, event)
    one, two = first.value.trigger, second.value.trigger
    assert one.ticket == two.ticket
    assert two.deadline == 5.0  # of the first wait
    pool.release(other)


def test_a_wait_that_is_too_long_ends_with_its_reason(pool: GpuPool) -> None:
    other = occupy(pool)
    at = context()
    with pytest.raises(TaskDeferred) as deferred:
        execute(task(lambda: None, max_wait=0.2), "execute", at)
    trigger = deferred.value.trigger
    trigger.not_before = 0.0
    event = first_event(trigger)
    assert (event["outcome"], event["reason"]) == ("timeout", "devices_busy")
    with pytest.raises(GpuWaitTimeoutError) as caught:
        execute(task(lambda: None, max_wait=0.2), "execute_with_lease", at, event)
    assert caught.value.facts["reason"] == "devices_busy"
    view = pool.poll(trigger.ticket)
    assert view is not None
    assert view.state is RequestState.WITHDRAWN
    pool.release(other)


def test_the_trigger_does_not_fire_early(pool: GpuPool) -> None:
    ticket = pool.ticket(GpuRequest.of(), holder="a")
    started = time.time()
    first_event(GpuLeaseTrigger(ticket=ticket.id, not_before=started + 0.6))
    assert time.time() - started >= 0.6


def test_a_killed_wait_gives_its_place_up(pool: GpuPool) -> None:
    other = occupy(pool)
    ticket = pool.ticket(GpuRequest.of(), holder="a")
    assert pool.try_acquire(ticket) is None
    asyncio.run(GpuLeaseTrigger(ticket=ticket.id, not_before=0.0).on_kill())
    view = pool.poll(ticket.id)
    assert view is not None
    assert view.state is RequestState.WITHDRAWN
    pool.release(other)


def test_the_trigger_is_rebuilt_from_what_it_says_and_says_no_secret(pool: GpuPool) -> None:
    trigger = GpuLeaseTrigger(ticket="t", not_before=1.0, deadline=2.0, store_conn_id="mine")
    path, arguments = trigger.serialize()
    assert path == "airflow_ai_provider.triggers.gpu.GpuLeaseTrigger"
    assert GpuLeaseTrigger(**arguments).serialize() == trigger.serialize()
    assert set(arguments) == {
        "ticket", "not_before", "deadline", "poll_interval", "store_conn_id"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"gpus": 2}, "no host has more than 1"), ({"gpu_memory": "much"}, "means nothing")],
)
def test_what_can_never_be_met_is_not_retried(
    pool: GpuPool, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(AirflowFailException, match=words):
        execute(task(lambda: None, **arguments), "execute", context())


def test_a_task_asks_with_its_own_priority_weight(pool: GpuPool) -> None:
    other = occupy(pool)
    with pytest.raises(TaskDeferred):
        execute(task(lambda: None, priority_weight=7), "execute", context())
    with pytest.raises(TaskDeferred):
        execute(task(lambda: None, priority_weight=7, priority="3"), "execute", context())
    assert [q["priority"] for q in pool.status()["queue"]] == [7, 3]
    pool.release(other)


def test_the_decorator_stores_what_it_is_given() -> None:
    with DAG("d"):

        @gpu_task(gpus="{{ params.gpus }}", project="p", deferrable=False)
        def train(x: int) -> int:
            return x

        operator = train(1).operator
    assert operator.custom_operator_name == "@task.gpu"
    assert operator.gpus == "{{ params.gpus }}"
    assert set(GPU_FIELDS) <= set(operator.template_fields)
    assert all(hasattr(operator, field) for field in operator.template_fields)


def test_mapped_tasks_are_made_of_the_decorator() -> None:
    with DAG("d"):

        @gpu_task(gpus=1)
        def train(x: int) -> int:
            return x

        mapped = train.expand(x=[1, 2])
    assert mapped.operator.task_id == "train"
