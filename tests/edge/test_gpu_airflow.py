"""The Airflow side of the GPU pool, without Airflow's processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_ai_provider.adapters import processes
from airflow_ai_provider.core.errors import (
    CudaInitialisedError,
    GpuWaitTimeoutError,
    HolderBusyError,
)
from airflow_ai_provider.core.gpu.lease import LEASE_VARIABLE
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.decorators.gpu import gpu_task
from airflow_ai_provider.hooks.gpu import ticket_id_of
from airflow_ai_provider.operators.gpu import GPU_FIELDS, GpuBashOperator, GpuPythonOperator
from airflow_ai_provider.services.gpu import GpuPool, release_held
from airflow_ai_provider.triggers.gpu import GpuLeaseTrigger
from tests.edge.gpu_tasks import context, execute, first_event, occupy


def task(function: Callable[..., Any], **arguments: Any) -> GpuPythonOperator:
    return GpuPythonOperator(
        task_id="t", python_callable=function, deferrable=True, dag=DAG("d"), **arguments
    )


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
    event = {
        "outcome": "claimable", "ticket": "", "reason": "", "deadline": 5.0, "waiting_since": 3.0
    }  # fmt: skip
    with pytest.raises(TaskDeferred) as second:
        execute(task(lambda: "done", max_wait=60), "execute_with_lease", at, event)
    one, two = first.value.trigger, second.value.trigger
    assert one.ticket == two.ticket
    assert (two.deadline, two.waiting_since) == (5.0, 3.0)  # of the first wait
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
        "ticket", "not_before", "deadline", "waiting_since", "store_conn_id"
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


def test_the_lease_and_its_page_are_there_before_the_function_runs(pool: GpuPool) -> None:
    at = context()
    seen: dict[str, Any] = {}
    execute(task(lambda: seen.update(at["ti"].xcoms)), "execute", at)
    page = f"/airflow-ai/gpu/lease/{ticket_id_of(str(at['ti'].id))}"
    assert seen["_link_GpuLeaseLink"].endswith(page)
    with pool.gpu.store.read() as connection:
        found = connection.exec_driver_sql("SELECT id, request_id FROM lease").all()
    assert found == [(seen["gpu_lease_id"], ticket_id_of(str(at["ti"].id)))]


def test_a_waiting_task_has_its_page_already(pool: GpuPool) -> None:
    other, at = occupy(pool), context()
    with pytest.raises(TaskDeferred):
        execute(task(lambda: None), "execute", at)
    assert set(at["ti"].xcoms) == {"_link_GpuLeaseLink"}
    pool.release(other)


def test_the_link_is_in_the_parsed_dag() -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    dag = task(lambda: None).dag
    made = DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("t")
    (link,) = made.operator_extra_links
    assert (link.name, link.xcom_key) == ("GPU lease", "_link_GpuLeaseLink")


def test_a_holder_that_another_process_is_may_try_again(pool: GpuPool) -> None:
    at = context()
    taken = pool.try_acquire(pool.ticket(GpuRequest.of(), holder=f"ti:{at['ti'].id}"))
    assert taken is not None
    with pool.gpu.store.write() as connection:  # the lease of a process that lives
        connection.exec_driver_sql(f"UPDATE lease SET holder_pid = {os.getppid()}, holder_start = ("
                                   f"{processes.identify(os.getppid()).start})")  # fmt: skip
    with pytest.raises(HolderBusyError):
        execute(task(lambda: None), "execute", at)


def test_where_only_another_host_can_serve_the_task_waits_for_it(
    pool: GpuPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = occupy(pool)
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__DEVICE_HOST", "elsewhere")
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__STATIC_DEVICES", "small:0@1GiB")
    at = context()
    with pytest.raises(TaskDeferred) as first:
        execute(task(lambda: None, gpu_model="cpu"), "execute", at)
    place = pool.status()["queue"][0]["id"]
    pool.release(other)  # granted at once, on the first host; but the task comes back elsewhere
    first.value.trigger.not_before = 0.0
    event = first_event(first.value.trigger)
    with pytest.raises(TaskDeferred) as second:
        execute(task(lambda: None, gpu_model="cpu"), "execute_with_lease", at, event)
    assert second.value.trigger.ticket == place
    monkeypatch.delenv("AIRFLOW__AI_PROVIDER__DEVICE_HOST")
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__STATIC_DEVICES", "cpu:0")
    second.value.trigger.not_before = 0.0
    event = first_event(second.value.trigger)
    assert execute(task(lambda: "here", gpu_model="cpu"), "execute_with_lease", at, event) == "here"


def test_what_no_host_has_fails_at_once_wherever_it_is_asked(
    pool: GpuPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.release(occupy(pool))
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__DEVICE_HOST", "elsewhere")
    with pytest.raises(AirflowFailException, match="no host has more than 1"):
        execute(task(lambda: None, gpus=2), "execute", context())


def test_a_terminated_function_unwinds_and_releases(pool: GpuPool) -> None:
    """Airflow's signal handler calls ``on_kill`` in the thread that runs the function."""
    unwound: list[bool] = []

    def work() -> None:
        try:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
            time.sleep(30)
        finally:
            unwound.append(True)

    operator = task(work)
    before = signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    try:
        with pytest.raises(SystemExit):
            execute(operator, "execute", context())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert unwound == [True]
    assert pool.gpu.leases() == []


def test_a_terminated_wait_gives_its_ticket_back(pool: GpuPool) -> None:
    other = occupy(pool)
    operator = GpuPythonOperator(
        task_id="t", python_callable=lambda: None, deferrable=False, dag=DAG("d")
    )
    before = signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    try:
        with pytest.raises(SystemExit):
            execute(operator, "execute", context())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert pool.status()["queue"] == []
    pool.release(other)


def test_on_kill_of_a_task_that_does_nothing_does_nothing(pool: GpuPool) -> None:
    task(lambda: None).on_kill()
    execute(operator := task(lambda: None), "execute", context())
    operator.on_kill()


class FakeCuda:
    """``torch.cuda`` as far as anybody looks."""

    def __init__(self, *, initialised: bool) -> None:
        self.initialised = initialised

    def is_initialized(self) -> bool:
        return self.initialised


def test_a_process_that_has_initialised_cuda_is_refused(
    pool: GpuPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=FakeCuda(initialised=True)))
    with pytest.raises(CudaInitialisedError, match="inside the task"):
        execute(task(lambda: None), "execute", context())
    assert pool.status()["queue"] == []
    assert pool.gpu.leases() == []


def test_it_may_go_on_with_a_warning(pool: GpuPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=FakeCuda(initialised=True)))
    operator = task(lambda: "done", on_cuda_initialised="warn")
    assert execute(operator, "execute", context()) == "done"
    with pytest.raises(AirflowFailException, match="means nothing"):
        execute(task(lambda: None, on_cuda_initialised="ignore"), "execute", context())


def test_memory_of_this_process_is_free_when_it_has_ended(
    pool: GpuPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA keeps what it took until the process ends: the keeper releases then, not we now."""
    cuda = FakeCuda(initialised=False)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    execute(task(lambda: setattr(cuda, "initialised", True)), "execute", context())
    (left,) = pool.gpu.leases()
    assert left.state is LeaseState.ACTIVE
    assert release_held() == []
    cuda.initialised = False
    assert release_held() == [left.id]
    assert pool.gpu.leases() == []


@pytest.mark.parametrize(("gpus", "slots"), [(None, 1), (2, 2), ("3", 3), ("{{ params.n }}", 1)])
def test_a_mirrored_task_takes_slots_in_airflows_pool(gpus: Any, slots: int) -> None:
    operator = task(lambda: None, gpus=gpus, gpu_pool="a100", mirror_pool=True)
    assert (operator.pool, operator.pool_slots) == ("gpu_a100", slots)


def test_a_task_is_in_its_own_pool_unless_it_is_mirrored(pool: GpuPool) -> None:
    assert task(lambda: None).pool == "default_pool"
    assert task(lambda: None, mirror_pool=True, pool_slots=5).pool_slots == 5
    at_once = task(lambda: "done", mirror_pool=True)
    assert execute(at_once, "execute", context()) == "done"


def test_a_mirror_and_another_pool_contradict_each_other(pool: GpuPool) -> None:
    with pytest.raises(AirflowFailException, match="runs in 'mine'"):
        execute(task(lambda: None, mirror_pool=True, pool="mine"), "execute", context())
    templated = task(lambda: None, mirror_pool=True, gpu_pool="{{ params.p }}")
    templated.gpu_pool = "default"  # as it is rendered
    with pytest.raises(AirflowFailException, match="without a template"):
        execute(templated, "execute", context())


def test_mapped_tasks_take_slots_in_the_mirror_too(pool: GpuPool) -> None:
    with DAG("d"):

        @gpu_task(gpus=2, gpu_pool="big", mirror_pool=True)
        def train(x: int) -> int:
            return x

        decorated = train.expand(x=[1]).operator
        classic = GpuBashOperator.partial(task_id="b", gpus=2, gpu_pool="big", mirror_pool=True)
        expanded = classic.expand(bash_command=["true"])
        elsewhere = GpuBashOperator.partial(task_id="c", mirror_pool=True).expand(gpu_pool=["big"])
    for mapped in (decorated, expanded):
        assert (mapped.pool, mapped.pool_slots) == ("gpu_big", 2)
    assert expanded.unmap({"bash_command": "true"}).pool == "gpu_big"
    wrong = elsewhere.unmap({"gpu_pool": "big", "bash_command": "true"})
    with pytest.raises(AirflowFailException, match=r"outside expand\(\)"):
        execute(wrong, "execute", context())


def test_an_async_function_runs_under_its_lease(pool: GpuPool) -> None:
    async def work() -> str:
        return os.environ[LEASE_VARIABLE]

    assert execute(task(work), "execute", context())
    assert pool.gpu.leases() == []
