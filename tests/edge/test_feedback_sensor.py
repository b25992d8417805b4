"""The sensor counts what is new over runs and tries, and feedback in Delta tables counts."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_ai_provider.core.errors import FeedbackSinkError
from airflow_ai_provider.core.feedback.parse import parse
from airflow_ai_provider.core.feedback.quick import row_of
from airflow_ai_provider.core.feedback.watching import Wanted
from airflow_ai_provider.sensors.feedback import FeedbackSensor
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.services.feedback_watch import FeedbackWatch
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.triggers.feedback import FeedbackTrigger
from tests.edge.feedback_waiting import NOW, Said, next_of, silent, watch


class Instance(NamedTuple):
    """What the sensor asks of the task instance that it is."""

    run_id: str
    dag_id: str = "d"
    task_id: str = "t"
    map_index: int = -1


def counted(run: str) -> Any:
    sensor = FeedbackSensor(task_id="t", model_name="m", new_records=3)
    return sensor.poke({"ti": Instance(run)})


def test_the_sensor_counts_new_records_from_its_last_success_over_runs_and_tries(
    here: Store, say: Said
) -> None:
    say(here, 50)
    assert not counted("monday")  # from here on
    say(here, 2)
    assert not counted("monday")  # another try counts from the same place
    say(here, 1)
    assert counted("monday").xcom_value == {"new_records": "3 records came in, 3 wanted."}
    assert counted("monday")  # it was killed before it could say so
    assert not counted("tuesday")
    say(here, 4)
    assert counted("tuesday").xcom_value == {"new_records": "4 records came in, 3 wanted."}


def test_the_deferred_sensor_counts_from_the_same_place(here: Store, say: Said) -> None:
    context: Any = {"ti": Instance("monday")}
    sensor = FeedbackSensor(task_id="t", model_name="m", new_records=3, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context)
    say(here, 3)  # before the triggerer looks
    trigger = deferred.value.trigger
    assert isinstance(trigger, FeedbackTrigger)
    again = FeedbackTrigger(**{**trigger.serialize()[1], "not_before": NOW, "poll_interval": 0.05})

    async def fire() -> dict[str, Any]:
        async with aclosing(again.run()) as events:
            return await next_of(events)

    event = asyncio.run(fire())
    assert event["batch"] == 1
    told = {"new_records": "3 records came in, 3 wanted."}
    resumed = FeedbackSensor(task_id="t", model_name="m", new_records=3, deferrable=True)
    assert resumed.execute_complete(context, event) == event["why"] == told
    assert not counted("tuesday")


def in_table(store: Store, folder: Path, count: int, **more: Any) -> None:
    rows = [
        row_of(parse({"feedback_id": f"t{n}", "model_name": "m", "observed_at": NOW, **more}))
        for n in range(count)
    ]
    service = FeedbackService(store, delta=str(folder / "delta"))
    service.records.write_batch([rows], [], sources=["x"])


def test_feedback_in_a_delta_table_counts_and_is_read_again_when_it_changed(
    here: Store, say: Said, tmp_path: Path
) -> None:
    say(here, 2, score=5)
    in_table(here, tmp_path, 3, score=1, label=1)
    asks = [Wanted(model_name="m", min_records=1, score_below=3).ask(None)]
    watch_ = FeedbackWatch(here)
    seen = watch_.look(asks)
    assert (seen.records("m", None), seen.scores) == (5, {("m", 30.0): (5, pytest.approx(2.6))})
    in_table(here, tmp_path, 4, score=1, label=1)
    assert watch_.look(asks).records("m", None) == 6
    assert FeedbackSensor(task_id="t", model_name="m", min_records=6).poke({}).xcom_value == 6


def test_a_table_that_cannot_be_read_fails_the_look_and_lets_the_trigger_wait_on(
    here: Store, say: Said, tmp_path: Path
) -> None:
    in_table(here, tmp_path, 3, score=1)
    (tmp_path / "delta").rename(tmp_path / "away")
    with pytest.raises(FeedbackSinkError, match="is not there"):
        FeedbackSensor(task_id="t", model_name="m").poke({})
    say(here, 1, model_name="other")
    assert FeedbackSensor(task_id="t", model_name="other").poke({})
    both = [Wanted(model_name="m", **{name: 1}) for name in ("min_records", "new_records")]
    seen = FeedbackWatch(here).look([one.ask(None) for one in both], after=0)
    assert both[0].unread(seen) is seen.failed["m"]
    assert both[1].holds(seen, {"batch": 0})  # which is told from the batches

    async def run() -> dict[str, Any]:
        async with aclosing(watch(min_records=3).run()) as events:
            waiting = await silent(events)
            (tmp_path / "away").rename(tmp_path / "delta")
            return dict((await asyncio.wait_for(waiting, 20)).payload)

    assert asyncio.run(run())["records"] == 3


def test_a_window_of_days_is_refused_instead_of_waited_for(here: Store) -> None:
    sensor = FeedbackSensor(task_id="t", model_name="m", partition="2026-06-01/2026-06-30")
    with pytest.raises(AirflowFailException, match="2026-06-01/2026-06-30 is a window of days"):
        sensor.poke({})


def test_records_are_counted_again_when_something_came_in_or_after_minutes(
    here: Store, say: Said
) -> None:
    say(here, 3, score=1)
    now = [0.0]
    watching = FeedbackWatch(here, clock=lambda: now[0])

    def seen(*models: str, **wanted: Any) -> Any:
        asks = [Wanted(model_name=name, min_records=1, **wanted).ask(None) for name in models]
        return watching.look(asks)

    assert seen("m").records("m", None) == 3
    with here.write() as connection:  # as when somebody is forgotten
        connection.exec_driver_sql("DELETE FROM feedback WHERE feedback_id = 'f1'")
    now[0] = 299
    assert seen("m").records("m", None) == 3
    assert seen("m", score_below=2).scores == {("m", 30.0): (2, 1.0)}  # which was not known
    say(here, 1, model_name="other")
    found = seen("m", "other")
    assert (found.records("m", None), found.records("other", None)) == (2, 1)
    with here.write() as connection:
        connection.exec_driver_sql("DELETE FROM feedback")
    now[0] = 600
    assert seen("m").records("m", None) == 0


def test_a_table_that_did_not_change_is_not_read_again_for_minutes(
    here: Store, tmp_path: Path
) -> None:
    in_table(here, tmp_path, 3, score=1)
    now = [0.0]
    asks = [Wanted(model_name="m", min_records=1).ask(None)]
    watching = FeedbackWatch(here, clock=lambda: now[0])
    assert watching.look(asks).records("m", None) == 3
    for file in (tmp_path / "delta").rglob("*.parquet"):
        file.unlink()
    now[0] = 299
    assert watching.look(asks).records("m", None) == 3
    now[0] = 301
    assert "cannot be" in str(watching.look(asks).failed["m"])
