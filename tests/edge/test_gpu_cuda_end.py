"""A task that initialised CUDA keeps its devices until its process has ended, and no longer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from airflow_ai_provider.services.gpu import GpuPool
from tests.adapters.test_cuda import make_library

SCRIPT = """
import ctypes
from airflow.sdk import DAG
from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.operators.gpu import GpuPythonOperator
from tests.edge.gpu_tasks import context, execute

def work():
    ctypes.CDLL("libcuda.so.1").cuInit(0)

task = GpuPythonOperator(task_id="t", python_callable=work, deferrable=True, dag=DAG("d"))
execute(task, "execute", context())
(lease,) = GpuPoolHook().get_conn().gpu.leases()
print("LEASE", lease.state.value)
"""


def test_its_devices_are_free_soon_after_its_process_has_ended(
    pool: GpuPool, tmp_path: Path
) -> None:
    env = {**os.environ, "LD_LIBRARY_PATH": str(make_library(tmp_path).parent)}
    env["PYTHONPATH"] = ":".join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True
    )
    ended = time.monotonic()
    assert "LEASE active" in done.stdout
    while pool.gpu.leases() and time.monotonic() - ended < 10:
        time.sleep(0.1)
    assert pool.gpu.leases() == []
