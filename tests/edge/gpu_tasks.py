"""What the tests of the GPU operators share: task instances, and running a task by itself."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.triggers.base import BaseTrigger

from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.services.gpu import GpuPool, Lease


class FakeTaskInstance:
    """What an operator needs of Airflow's task instance; ``xcoms`` is what was pushed."""

    dag_id, run_id, task_id, map_index = "d", "r", "t", -1

    def __init__(self, try_number: int = 1) -> None:
        self.id = uuid.uuid4()
        self.try_number = try_number
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


def context(try_number: int = 1) -> dict[str, Any]:
    """Return what Airflow hands to ``execute``, as far as our operators look."""
    return {"ti": FakeTaskInstance(try_number)}


def execute(operator: BaseOperator, method: str, *arguments: Any) -> Any:
    """Call a method of an operator as Airflow's task runner does."""
    token = ExecutorSafeguard.tracker.set(operator)
    try:
        return getattr(operator, method)(*arguments)
    finally:
        ExecutorSafeguard.tracker.reset(token)


def occupy(pool: GpuPool, holder: str = "other", **asked: Any) -> Lease:
    """Take devices for somebody else."""
    lease = pool.try_acquire(pool.ticket(GpuRequest.of(**asked), holder=holder))
    assert lease is not None
    return lease


def first_event(trigger: BaseTrigger, *, within: float = 20) -> dict[str, Any]:
    """Run a trigger until it fires."""

    async def run() -> dict[str, Any]:
        async for event in trigger.run():
            payload: dict[str, Any] = event.payload
            return payload
        raise AssertionError("the trigger ended without an event")

    return asyncio.run(asyncio.wait_for(run(), within))
