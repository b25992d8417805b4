"""What happens around a task, whatever its operator is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from airflow.sdk._shared.listeners.listener import ListenerManager
from airflow.sdk._shared.listeners.spec import taskinstance
from airflow.sdk.execution_time.task_runner import TaskInstanceState

from airflow_ai_provider.plugins.airflow_ai import AirflowAiPlugin
from airflow_ai_provider.services.gpu import GpuPool
from tests.edge.gpu_tasks import FakeTaskInstance, occupy


@pytest.fixture
def listeners() -> ListenerManager:
    """Airflow's listener manager with what our plugin adds, as in a task's process."""
    manager = ListenerManager()
    manager.add_hookspecs(taskinstance)
    for listener in AirflowAiPlugin.listeners:
        manager.add_listener(listener)
    return manager


def end(listeners: ListenerManager, how: str, instance: object) -> None:
    arguments = {"previous_state": TaskInstanceState.RUNNING, "task_instance": instance}
    if how == "failed":
        arguments["error"] = ValueError()
    getattr(listeners.hook, f"on_task_instance_{how}")(**arguments)


@pytest.mark.parametrize("how", ["success", "failed", "skipped"])
def test_what_the_task_left_is_released(
    pool: GpuPool, listeners: ListenerManager, how: str
) -> None:
    occupy(pool)
    end(listeners, how, FakeTaskInstance())
    assert pool.gpu.leases() == []
    end(listeners, how, FakeTaskInstance())  # and there is nothing more to do


class RowOfAirflow(FakeTaskInstance):
    """The API server and the scheduler hand over a row: the task runs elsewhere."""

    _sa_instance_state = object()


def test_a_task_that_runs_elsewhere_is_left_alone(
    pool: GpuPool, listeners: ListenerManager
) -> None:
    occupy(pool)
    end(listeners, "failed", RowOfAirflow())
    assert len(pool.gpu.leases()) == 1


def test_a_forked_child_does_not_release_what_its_parent_holds(pool: GpuPool) -> None:
    from airflow_ai_provider.services.gpu import release_held

    occupy(pool)
    child = os.fork()
    if child == 0:
        os._exit(len(release_held()))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert len(pool.gpu.leases()) == 1


@pytest.mark.parametrize(("said", "seen"), [("True", ""), ("False", "0,1"), (None, "0,1")])
def test_devices_are_hidden_from_tasks_without_a_lease(
    listeners: ListenerManager, monkeypatch: pytest.MonkeyPatch, said: str | None, seen: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    if said is not None:
        monkeypatch.setenv("AIRFLOW__AI_PROVIDER__HIDE_DEVICES", said)
    listeners.hook.on_task_instance_running(
        previous_state=TaskInstanceState.QUEUED, task_instance=FakeTaskInstance()
    )
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen


PROBE = """
import sys, time
import airflow.sdk
started = time.process_time()
import airflow_ai_provider.plugins.airflow_ai as plugin
for listener in plugin.AirflowAiPlugin.listeners:
    listener.on_task_instance_success(task_instance=object())
print(time.process_time() - started, [m for m in ("sqlalchemy.orm", "alembic", "fastapi",
      "airflow_ai_provider.services.gpu") if m in sys.modules and m not in BEFORE])
"""


def test_it_costs_a_task_without_a_lease_next_to_nothing() -> None:
    code = PROBE.replace("started =", "BEFORE = set(sys.modules)\nstarted =", 1)
    spent, heavy = min(
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
        )
        .stdout.splitlines()[-1]
        .split(" ", 1)
        for _ in range(2)
    )
    assert float(spent) < 0.15
    assert heavy == "[]"
