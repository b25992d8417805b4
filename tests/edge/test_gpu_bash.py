"""A Bash command under a lease."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowSkipException, TaskDeferred

from airflow_ai_provider.adapters import processes
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.operators.gpu import GPU_FIELDS, GpuBashOperator
from airflow_ai_provider.services.gpu import GpuPool
from tests.edge.gpu_tasks import context, execute, first_event, occupy

SAY = 'echo "$AIRFLOW_AI_GPU_LEASE|$CUDA_VISIBLE_DEVICES|$CUDA_DEVICE_ORDER|$MINE|$INHERITED"'


def at() -> dict[str, Any]:
    return context()


def bash(command: str, **arguments: Any) -> GpuBashOperator:
    return GpuBashOperator(
        task_id="t", bash_command=command, deferrable=True, dag=DAG("d"), **arguments
    )


@pytest.mark.parametrize(
    ("arguments", "mine", "inherited"),
    [
        ({}, "", "yes"),
        ({"env": {"MINE": "1", "CUDA_VISIBLE_DEVICES": "all"}}, "1", ""),
        ({"env": {"MINE": "1"}, "append_env": True}, "1", "yes"),
    ],
)
def test_the_command_has_the_leases_environment(
    pool: GpuPool,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    mine: str,
    inherited: str,
) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    here = at()
    said = execute(bash(SAY, **arguments), "execute", here).split("|")
    assert said[0].startswith(here["ti"].xcoms["gpu_lease_id"])
    assert said[1:] == ["", "PCI_BUS_ID", mine, inherited]
    assert pool.gpu.leases() == []


def test_what_the_command_says_is_processed(pool: GpuPool) -> None:
    operator = bash("echo 41", output_processor=lambda line: int(line) + 1)
    assert execute(operator, "execute", at()) == 42


@pytest.mark.parametrize(("code", "error"), [(1, AirflowException), (99, AirflowSkipException)])
def test_a_command_that_fails_or_skips_releases(
    pool: GpuPool, code: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        execute(bash(f"exit {code}"), "execute", at())
    assert pool.gpu.leases() == []


def test_it_defers_and_comes_back(pool: GpuPool) -> None:
    other, here = occupy(pool), at()
    with pytest.raises(TaskDeferred) as deferred:
        execute(bash("echo done"), "execute", here)
    trigger = deferred.value.trigger
    trigger.not_before = 0.0
    pool.release(other)
    event = first_event(trigger)
    assert execute(bash("echo done"), "execute_with_lease", here, event) == "done"


def test_terminated_it_ends_its_command_and_releases(pool: GpuPool) -> None:
    operator = bash("sleep 30")
    before = signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    begun = time.monotonic()
    try:
        with pytest.raises(AirflowException, match="-15"):
            execute(operator, "execute", at())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert time.monotonic() - begun < 10
    assert pool.gpu.leases() == []


def test_what_the_command_leaves_in_a_session_of_its_own_is_found(
    pool: GpuPool, tmp_path: Path
) -> None:
    """It carries the lease's mark, so the device is not handed on before it has ended."""
    note = tmp_path / "pid"
    command = f"setsid sh -c 'echo $$ > {note}; exec sleep 30' >/dev/null 2>&1 & sleep 0.5"
    execute(bash(command), "execute", at())
    left = processes.identify(int(note.read_text()))
    states = [lease.state for lease in pool.gpu.leases()]
    ended_at = time.monotonic() + 15
    while left and processes.is_alive(left) and time.monotonic() < ended_at:
        time.sleep(0.2)
    assert states in ([LeaseState.SUSPECT], [])  # [] when the keeper was faster
    assert not (left and processes.is_alive(left))


def test_it_is_templated_like_both_its_parents() -> None:
    assert set(GpuBashOperator.template_fields) == {
        "bash_command", "env", "cwd", "store_conn_id", *GPU_FIELDS
    }  # fmt: skip
    assert GpuBashOperator.template_ext == (".sh", ".bash")
