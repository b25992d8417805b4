"""LocalExecutor as tests need it: as two worker hosts, or with what its tasks import at hand."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from airflow.executors.local_executor import LocalExecutor

HOSTS = ("east", "west")
_HOST, _DEVICES = "AIRFLOW__AI_PROVIDER__DEVICE_HOST", "AIRFLOW__AI_PROVIDER__STATIC_DEVICES"


class TwoHostsExecutor(LocalExecutor):
    """Each worker has the devices of its host, and no other."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._spawned = 0

    def _spawn_worker(self) -> None:
        host = HOSTS[self._spawned % len(HOSTS)]
        self._spawned += 1
        os.environ |= {_HOST: host, _DEVICES: "npu:0"}
        try:
            super()._spawn_worker()  # forks, and so keeps what is said here
        finally:
            del os.environ[_HOST], os.environ[_DEVICES]


class ReadyExecutor(LocalExecutor):
    """Its workers, and the tasks that they fork, have imported what pods need: that takes long."""

    def start(self) -> None:
        import_module("airflow_ai_provider.operators.gpu_kubernetes")
        import_module("airflow_ai_provider.services.gpu")
        import_module("kubernetes.client")
        super().start()
