"""The pool in a real Airflow: whatever is done to tasks, a device has one user at a time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.checker import Event
from tests.faults.clock import now
from tests.live.stage import TTL, LiveStage, live

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(400)]

MODELS = ("cleared", "failed", "orphaned", "stays")
DEVICES = [f"here/{model}:0" for model in (*MODELS, "crowd")] + ["here/crowd:1"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStage]:
    """An Airflow with one device for each thing that is done, and two for crowds."""
    folder = tmp_path_factory.mktemp("live")
    store = f"sqlite:///{folder / 'airflow_ai.db'}"
    env = {
        "LIVE_STORE": store,
        "AIRFLOW__CORE__PARALLELISM": "12",
        "AIRFLOW__AI_PROVIDER__DEVICE_HOST": "here",
        "AIRFLOW__AI_PROVIDER__STATIC_DEVICES": ",".join(d.partition("/")[2] for d in DEVICES),
    }
    with live(folder, store=store, env=env) as staged:
        yield staged


@pytest.mark.parametrize(
    "keeper_lives",
    [True, pytest.param(False, marks=pytest.mark.faults)],
    ids=["keeper lives", "keeper killed"],
)
def test_a_device_is_handed_on_when_the_old_processes_are_gone(
    stage: LiveStage, keeper_lives: bool
) -> None:
    runs = {model: hold(stage, model, keeper_lives) for model in MODELS}
    held = {model: stage.wait_for_start(f"{model} {keeper_lives}") for model in MODELS}
    waiters = {
        model: stage.rest.trigger("one", {"name": name, "model": model, "seconds": 0.2})
        for model, name in ((model, f"after {model}, {keeper_lives}") for model in MODELS)
    }
    for run in waiters.values():
        stage.wait_for_states("one", run, 1, {"deferred"}, timeout=60)
    if not keeper_lives:
        stage.kill_keepers()
    for model in MODELS:
        deed(stage, model, runs[model], held[model])
    for run in waiters.values():
        (task,) = stage.wait_for_states("one", run, 1, {"success", "failed"}, timeout=90)
        assert task["state"] == "success"
    events = stage.judge(DEVICES)
    for model in MODELS:
        gone = max(last_seen(events, held[model]))
        (next_use,) = stage.begin(f"after {model}, {keeper_lives}")
        handed_on = stage.granted_at(next_use["lease"])
        print(f"{model}: {handed_on - gone:.1f} s, in use {next_use['t'] - gone:.1f} s after")
        assert 0 < handed_on - gone < (5 if keeper_lives else TTL + 10), model


def hold(stage: LiveStage, model: str, keeper_lives: bool) -> dict[str, Any]:
    """Have a task hold the device ``model``, with children that do not want to end."""
    dag_id = "one_again" if model == "orphaned" else "one"
    seconds = 4 if model == "stays" else 100
    conf = {"name": f"{model} {keeper_lives}", "model": model, "seconds": seconds}
    run = stage.rest.trigger(dag_id, {**conf, "children": ["fork", "deaf"]})
    return {"dag_id": dag_id, "dag_run_id": run, "task_id": "hold"}


def deed(stage: LiveStage, model: str, task: dict[str, Any], held: Event) -> None:
    """Do to the task that holds ``model`` what the device is named for."""
    if model == "cleared":
        stage.rest.clear(task)
    if model == "failed":
        stage.rest.fail(task)
    if model == "orphaned":
        os.kill(held["worker"], signal.SIGKILL)


def last_seen(events: list[Event], held: Event) -> list[float]:
    """Until when the processes under a lease lived."""
    children = [e["child"] for e in events if e["e"] == "child" and e["lease"] == held["lease"]]
    seen = {e["who"]: e["t"] for e in events if e["e"] == "seen"}
    return [seen[who] for who in (held["who"], *children)]


@pytest.mark.timeout(900)
def test_waiting_tasks_survive_their_triggerer(stage: LiveStage) -> None:
    enough = stage.folder / "enough"
    for number in range(2):
        first = {"name": f"first {number}", "model": "crowd", "seconds": 0, "until": str(enough)}
        stage.rest.trigger("one", first)
    for number in range(2):
        stage.wait_for_start(f"first {number}")
    crowd = {"name": "crowd", "model": "crowd", "seconds": 0.1, "count": 20}
    run = stage.rest.trigger("many", crowd)
    stage.wait_for_states("many", run, 20, {"deferred"}, timeout=300)
    stage.kill_component("triggerer", for_seconds=1)
    enough.touch()
    tasks = stage.wait_for_states("many", run, 20, {"success", "failed"}, timeout=300)
    assert {task["state"] for task in tasks} == {"success"}
    assert {task["try_number"] for task in tasks} == {1}
    stage.judge(DEVICES)


@pytest.mark.parametrize(
    "times", [1, pytest.param(3, marks=[pytest.mark.faults, pytest.mark.timeout(1800)])]
)
def test_a_hundred_tasks_on_two_devices_all_succeed_at_their_first_try(
    stage: LiveStage, times: int
) -> None:
    for number in range(times):
        conf = {"name": f"hundred {number}", "model": "crowd", "seconds": 0.1, "count": 100}
        began = now()
        run = stage.rest.trigger("many", conf)
        tasks = stage.wait_for_states("many", run, 100, {"success", "failed"}, timeout=400)
        assert [t["state"] for t in tasks] == ["success"] * 100
        assert len(stage.begin(f"hundred {number}")) == 100
        print(f"100 tasks in {now() - began:.0f} s")
    stage.judge(DEVICES)
