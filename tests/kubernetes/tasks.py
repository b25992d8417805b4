"""Running a Kubernetes task by itself: task instances, contexts, legs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from airflow.sdk.exceptions import TaskDeferred

from airflow_ai_provider.core.gpu.lease import LeaseRecord
from airflow_ai_provider.operators.gpu_kubernetes import GpuKubernetesPodOperator
from airflow_ai_provider.services.gpu import GpuPool
from tests.edge.gpu_tasks import FakeTaskInstance, execute
from tests.kubernetes.emulator.cluster import Cluster

TRAINER: dict[str, Any] = {"task_id": "t", "image": "trainer:1", "name": "train"}


def operator(**given: Any) -> GpuKubernetesPodOperator:
    """Return a task that runs a pod for 0.2 s; it is looked at five times a second."""
    arguments: dict[str, Any] = {
        **TRAINER,
        "startup_check_interval_seconds": 0.2,
        "base_container_status_polling_interval": 0.2,
        "poll_interval": 0.2,
        "log_events_on_startup": False,
        "log_pod_spec_on_failure": False,
        **given,
    }
    return GpuKubernetesPodOperator(**arguments)


def context(try_number: int = 1, **named: Any) -> dict[str, Any]:
    """Return a task's context, as far as the operator and its parent look."""
    ti = FakeTaskInstance(try_number)
    for name, value in named.items():
        setattr(ti, name, value)
    return {"ti": ti, "run_id": ti.run_id, "dag": SimpleNamespace(parent_dag=None)}


def run(
    at: dict[str, Any] | None = None,
    *,
    within: float = 30,
    make: Callable[..., Any] = operator,
    **given: Any,
) -> Any:
    """Run a task to its end as Airflow does, each leg by an operator that ``make`` makes."""
    at = at or context()
    method, arguments = "execute", []
    while True:
        try:
            return execute(make(**given), method, at, *arguments)
        except TaskDeferred as deferred:  # noqa: PERF203 - a leg of a task
            event = asyncio.run(asyncio.wait_for(_first(deferred.trigger), within))
            method, arguments = deferred.method_name, [event]


async def _first(trigger: Any) -> dict[str, Any]:
    if hasattr(trigger, "not_before"):
        trigger.not_before = 0.0
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(__import__(module, fromlist=[name]), name)(**arguments)
    async for event in again.run():
        payload: dict[str, Any] = event.payload
        return payload
    raise AssertionError("the trigger ended without an event")


def after_its_pods(cluster: Cluster, pool: GpuPool) -> list[LeaseRecord]:
    """Return the leases once no pod is left: a sidecar takes its time, and a lease as much."""
    ends = time.monotonic() + 10
    while cluster.pods:
        assert time.monotonic() < ends, "a pod is still there"
        time.sleep(0.05)
    operator()._cluster.look()
    return pool.gpu.leases()
