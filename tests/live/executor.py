"""LocalExecutor as two worker hosts: half of its workers call themselves another machine."""

from __future__ import annotations

import os
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
