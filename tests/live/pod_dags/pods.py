"""Tasks that run pods with GPUs, half of them deferred; how many says ``LIVE_PODS``."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import dag

from airflow_ai_provider.operators.gpu_kubernetes import GpuKubernetesPodOperator

COUNT = int(os.environ["LIVE_PODS"])
SAYS = {"sim/run-seconds": os.environ["LIVE_SECONDS"], "sim/logs": "one\ntwo"}


@dag(schedule=None, catchup=False)
def pods() -> None:
    """Run many pods, of one and of two GPUs."""
    for task_id, deferrable in (("stays", False), ("defers", True)):
        given: dict[str, Any] = {
            "task_id": task_id,
            "name": task_id,
            "image": "trainer:1",
            "annotations": SAYS,
            "deferrable": deferrable,
            "retries": 4,
            "retry_delay": timedelta(seconds=1),
            "startup_check_interval_seconds": 1,
            "base_container_status_polling_interval": 1,
            "log_events_on_failure": True,
        }
        half = GpuKubernetesPodOperator.partial(**given)
        half.expand(gpus=[1 + number % 3 // 2 for number in range(COUNT // 2)])


pods()
