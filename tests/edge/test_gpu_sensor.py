"""Waiting for free slots without taking them."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    TaskDeferred,
)

from airflow_ai_provider.sensors.gpu import GpuSlotsSensor
from airflow_ai_provider.services.gpu import GpuPool
from airflow_ai_provider.triggers.gpu import GpuSlotsTrigger
from tests.edge.gpu_tasks import context, execute, first_event, occupy

FREE = {"devices": ["cpu:0"]}


@pytest.fixture
def known(pool: GpuPool) -> GpuPool:
    """The same pool, its device registered."""
    pool.release(occupy(pool))
    return pool


def sensor(**arguments: Any) -> GpuSlotsSensor:
    return GpuSlotsSensor(task_id="t", dag=DAG("d"), **{"deferrable": False, **arguments})


def test_free_slots_are_seen_and_not_taken(known: GpuPool) -> None:
    seen = sensor().poke(context())
    assert seen.is_done
    assert seen.xcom_value == {"host": known.here.name, "devices": ["cpu:0"]}
    assert known.gpu.leases() == []
    assert known.status()["queue"] == []


def test_slots_that_are_held_are_waited_for(known: GpuPool) -> None:
    other = occupy(known)
    assert not sensor().poke(context())
    known.release(other)
    assert sensor().poke(context())


def test_it_pokes_until_its_time_is_over(known: GpuPool) -> None:
    other = occupy(known)
    with pytest.raises(AirflowSensorTimeout):
        execute(sensor(poke_interval=0.1, timeout=0.3), "execute", context())
    known.release(other)
    done = execute(sensor(poke_interval=0.1, timeout=5), "execute", context())
    assert done["devices"] == ["cpu:0"]


def test_it_waits_in_the_triggerer(known: GpuPool) -> None:
    other = occupy(known)
    waiting = sensor(deferrable=True, timeout=60, poke_interval=7, gpu_model="cpu")
    with pytest.raises(TaskDeferred) as deferred:
        execute(waiting, "execute", context())
    trigger = deferred.value.trigger
    path, arguments = trigger.serialize()
    assert path == "airflow_ai_provider.triggers.gpu.GpuSlotsTrigger"
    assert arguments["poll_interval"] == 7
    assert deferred.value.timeout.total_seconds() == 60
    known.release(other)
    event = first_event(GpuSlotsTrigger(**{**arguments, "not_before": 0.0}))
    assert execute(waiting, "execute_complete", context(), event)["devices"] == ["cpu:0"]


def test_it_does_not_defer_when_slots_are_free(known: GpuPool) -> None:
    assert execute(sensor(deferrable=True), "execute", context())["devices"] == ["cpu:0"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"gpus": 2}, "no host has more than 1"),
        ({"gpus": 0}, "asks for nothing"),
        ({"gpu_memory": "1GiB"}, "memory of no device is known"),
        ({"mig_profile": "1g.10gb"}, "No device has the profile"),
        ({"gpu_pool": "other"}, "No device is known in pool 'other'"),
    ],
)
def test_what_no_host_can_serve_fails_at_once(
    known: GpuPool, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(AirflowFailException, match=words):
        sensor(**arguments).poke(context())


def test_devices_that_go_while_it_waits_fail_it(known: GpuPool) -> None:
    trigger = GpuSlotsTrigger(request={"gpus": 2}, not_before=0.0)
    event = first_event(trigger)
    with pytest.raises(AirflowFailException, match="no host has more than 1"):
        sensor().execute_complete(context(), event)


def test_it_is_rescheduled_where_it_is_told_to(known: GpuPool) -> None:
    other = occupy(known)

    class Instance:
        task_id, dag_id, run_id, map_index, try_number, max_tries = "t", "d", "r", -1, 1, 0

        @staticmethod
        def get_first_reschedule_date(_context: Any) -> None:
            return None

    with pytest.raises(AirflowRescheduleException):
        execute(sensor(mode="reschedule", poke_interval=30), "execute", {"ti": Instance()})
    known.release(other)
