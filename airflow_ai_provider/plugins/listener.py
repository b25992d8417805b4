"""What happens around every task: leases that it leaves are released, devices may be hidden.

Nothing depends on it: when a task is killed no listener runs, and the keeper of the host releases.
It runs in the process of each task, so that it costs a look at ``sys.modules`` where no lease is.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from airflow.listeners import hookimpl
from airflow.sdk.configuration import conf

log = logging.getLogger(__name__)

SERVICE = "airflow_ai_provider.services.gpu"


class LeaseListener:
    """Releases what this process still holds when its task has ended, well or not."""

    @hookimpl
    def on_task_instance_running(self, task_instance: Any) -> None:
        """Hide the devices from the task where the settings say so; a lease shows its own."""
        if _is_this_process(task_instance) and conf.getboolean(
            "ai_provider", "hide_devices", fallback=False
        ):
            os.environ["CUDA_VISIBLE_DEVICES"] = ""

    @hookimpl
    def on_task_instance_success(self, task_instance: Any) -> None:
        """Release."""
        _release(task_instance)

    @hookimpl
    def on_task_instance_failed(self, task_instance: Any) -> None:
        """Release."""
        _release(task_instance)

    @hookimpl
    def on_task_instance_skipped(self, task_instance: Any) -> None:
        """Release."""
        _release(task_instance)


def _release(task_instance: Any) -> None:
    service = sys.modules.get(SERVICE)
    if service is None or not _is_this_process(task_instance):
        return
    for lease_id in service.release_held():
        log.info("GPU lease %s was left by its task and is released", lease_id)


def _is_this_process(task_instance: Any) -> bool:
    """Whether the task runs here: the API server and the scheduler call listeners too."""
    return not hasattr(task_instance, "_sa_instance_state")
