"""Tasks that hold a device and log that they do; what they do stands in the run's ``conf``.

``name`` (theirs in the log), ``model`` (of the device), ``seconds`` (of the first try; a later one
is short), ``until`` (a file that they wait for), ``children`` (``fork``, ``deaf``: started and
left) and ``count`` (of mapped tasks).
"""

from __future__ import annotations

import os
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from airflow.sdk import dag, get_current_context, task

from tests.faults.clock import identity
from tests.faults.holder import Log


def hold(seconds: float | None = None) -> None:
    """Use the device for a while."""
    context: Any = get_current_context()
    conf = context["dag_run"].conf
    ti = context["ti"]
    if seconds is None:
        seconds = float(conf["seconds"]) if ti.try_number == 1 else 0.2
    lease, _, fence = os.environ["AIRFLOW_AI_GPU_LEASE"].partition(":")
    log = Log(Path(os.environ["LIVE_EVENTS"]) / f"{os.getpid()}.jsonl")
    log("ask", ask=lease, gpus=1, share=None)
    log(
        "start", ask=lease, lease=lease, fence=int(fence), devices=_devices(lease),
        name=conf["name"], ti=str(ti.id), attempt=ti.try_number, worker=os.getppid(),
        host=os.environ.get("AIRFLOW__AI_PROVIDER__DEVICE_HOST"),
    )  # fmt: skip
    if ti.try_number == 1:
        for kind in conf.get("children", ()):
            log("child", lease=lease, child=_start(kind), kind=kind)
    time.sleep(seconds)
    while "until" in conf and not Path(conf["until"]).exists():
        time.sleep(0.05)
    log("end", lease=lease)


def _devices(lease: str) -> list[str]:
    """Ask the database, past all code of ours, what this lease is for."""
    engine = sa.create_engine(os.environ["LIVE_STORE"])
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT host, device_uuid FROM lease_device WHERE lease_id = :lease"),
            {"lease": lease},
        ).all()
    engine.dispose()
    return [f"{host}/{uuid}" for host, uuid in rows]


def _start(kind: str) -> str:
    """Start what outlives the task: it neither ends by itself nor when asked."""
    if kind == "fork":
        pid = os.fork()
        if pid == 0:
            time.sleep(120)
            os._exit(0)
        return identity(pid)
    program = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; exec sleep 120"],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return identity(program.pid)


MODEL = "{{ dag_run.conf['model'] }}"


@dag(schedule=None, catchup=False)
def one() -> None:
    """Hold a device, once."""
    task.gpu(task_id="hold", gpu_model=MODEL, retries=0)(hold)()


@dag(schedule=None, catchup=False)
def one_again() -> None:
    """Hold a device, and again when the first try fails."""
    once_more = timedelta(seconds=1)
    task.gpu(task_id="hold", gpu_model=MODEL, retries=1, retry_delay=once_more)(hold)()


@dag(schedule=None, catchup=False)
def many() -> None:
    """Hold a device in each of many mapped tasks."""

    @task
    def durations() -> list[float]:
        conf = get_current_context()["dag_run"].conf
        return [float(conf["seconds"])] * int(conf["count"])

    held = task.gpu(task_id="hold", gpu_model=MODEL, retries=0)(hold)
    held.expand(seconds=durations())


one()
one_again()
many()
