"""A real Airflow with our operators in it, on each version that is promised."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.lifecycle import Projects
from tests.live.stage import LiveStage, live
from tests.services.project_scene import note, plan_of

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.slow,
    pytest.mark.every_airflow,
    pytest.mark.timeout(400),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStage]:
    """An Airflow with one device, and a project in production."""
    folder = tmp_path_factory.mktemp("everywhere")
    store = f"sqlite:///{folder / 'airflow_ai.db'}"
    opened = Store.open(store)
    note(opened, plan_of(), phase="production")
    opened.close()
    env = {
        "LIVE_STORE": store,
        "AIRFLOW__AI_PROVIDER__DEVICE_HOST": "here",
        "AIRFLOW__AI_PROVIDER__STATIC_DEVICES": "one:0",
        "AIRFLOW__AI_PROVIDER__LEASE_TTL": "60",  # nobody is killed here: let slow machines be
    }
    with live(folder, store=store, env=env) as staged:
        yield staged


def test_a_task_waits_deferred_for_a_device_and_gets_it(stage: LiveStage) -> None:
    enough = stage.folder / "enough"
    first = {"name": "first", "model": "one", "seconds": 0}
    stage.rest.trigger("one", {**first, "until": str(enough)})
    stage.wait_for_start("first")
    run = stage.rest.trigger("one", {**first, "name": "second"})
    stage.wait_for_states("one", run, 1, {"deferred"}, timeout=90)
    enough.touch()
    (task,) = stage.wait_for_states("one", run, 1, {"success", "failed"}, timeout=90)
    assert (task["state"], task["try_number"]) == ("success", 1)
    stage.judge(["here/one:0"])


def test_who_fills_operations_takes_a_project_over(stage: LiveStage) -> None:
    run = stage.rest.trigger("handing_over")
    stage.wait("the question", lambda: bool(stage.rest.pending()), timeout=90)
    stage.run(lambda: False, timeout=2)  # an answer that comes too soon fails the task
    (asked,) = stage.rest.pending()
    task = {**asked["task_instance"], "dag_run_id": run}
    reason = "The pages and the runbook are good, and the team has read them."
    sponsor = stage.as_user("sponsor")  # who fills operations in this project
    assert sponsor.answer(task, ["Take over"], {"reason": reason})
    sponsor.close()

    def over() -> bool:
        found = stage.rest.tasks(task_id="ask")
        assert {each["state"] for each in found} != {"failed"}
        return {each["state"] for each in found} == {"success"}

    stage.wait("the hand over", over, timeout=90)
    opened = Store.open(stage.environment["LIVE_STORE"])
    row = Projects(opened).get("flight_delays")
    opened.close()
    assert row is not None
    assert row.phase == "maintenance"


def test_who_is_to_know_is_told_that_a_milestone_is_late(stage: LiveStage) -> None:
    run = stage.rest.trigger("late")
    post = stage.folder.with_name("post.txt")

    def told() -> set[str]:
        return set(post.read_text().splitlines()) if post.exists() else set()

    stage.wait("the messages", lambda: len(told()) == 3, timeout=90)
    assert told() == {"a notifier", f"a coroutine {run}", f"a function {run}"}
