"""Many wait for feedback with one look; an asset's watcher tells each thing once, over restarts."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, AssetWatcher
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.serialized_objects import DagSerialization
from airflow.triggers.base import BaseEventTrigger
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import FeedbackError, StoreUnavailableError
from airflow_ai_provider.core.feedback.exceptions import Asking, Finding, Reason
from airflow_ai_provider.core.feedback.watching import Seen, Wanted, wanted_of
from airflow_ai_provider.sensors.feedback import FeedbackSensor
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exceptions import ExceptionQueue
from airflow_ai_provider.store.feedback_watch import keep, look
from airflow_ai_provider.store.schema import exception_case
from airflow_ai_provider.triggers._feedback_poll import FeedbackPoll
from airflow_ai_provider.triggers.feedback import FeedbackTrigger
from tests.edge.feedback_waiting import NOW, Said, leave, next_of, silent, watch
from tests.statements import statements


def queued(store: Store, *, hours: float) -> None:
    found = Finding(model_name="m", prediction_id="p", reason=Reason.DISPUTED, urgency=1)
    ExceptionQueue(store).add([found], Asking())
    with store.write() as connection:
        since = store.utcnow(connection) - timedelta(hours=hours)
        connection.execute(exception_case.update().values(created_at=since))


def test_one_look_finds_all_that_is_asked(store: Store, say: Said) -> None:
    say(store, 3, partition="a")
    say(store, 2, partition="b", score=2)
    say(store, 1, model_name="other", score=5, observed_at=NOW - timedelta(days=40))
    queued(store, hours=2)
    keep(store, {"k": {"batch": 1}})
    keep(store, {"k": {"batch": 2}, "l": {}})
    wanted = [
        Wanted(model_name="m", min_records=1, score_below=3, queue_older_than=9, new_records=1),
        Wanted(model_name="other", score_below=3, score_days=60),
        Wanted(model_name="other", score_below=3),
        Wanted(model_name="none", min_records=1, queue_older_than=9, score_below=3),
    ]
    seen = look(store, [one.ask("k") for one in wanted], after=1)
    assert (seen.records("m", None), seen.records("m", "a"), seen.records("m", "z")) == (5, 3, 0)
    assert seen.scores == {("m", 30.0): (2, 2.0), ("other", 60.0): (1, 5.0)}
    assert seen.queues["m"][0] == 1
    assert seen.queues["m"][1] == pytest.approx(7200, abs=60)
    assert (seen.last_batch, seen.came_in("m", 1), seen.came_in("other", 1)) == (3, 2, 1)
    assert seen.kept == {"k": {"batch": 2}}
    assert wanted[3].holds(seen, {}) == {}


def test_a_hundred_triggers_look_once_per_interval(here: Store, say: Said) -> None:
    say(here, 3)

    async def wait() -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        triggers = [
            watch(model_name=f"m{n}", min_records=n + 1, poll_interval=0.5, new_records=5)
            for n in range(98)
        ]
        triggers += [watch(min_records=9, poll_interval=0.5), watch(min_records=3)]
        runs = [trigger.run() for trigger in triggers]
        begun = loop.time()
        tasks = [asyncio.ensure_future(anext(run)) for run in runs]
        found = await asyncio.wait_for(tasks[-1], 30)
        assert found.payload["records"] == 3
        await runs[-1].aclose()
        await asyncio.sleep(2.2)
        took = loop.time() - begun
        for task in tasks[:-1]:
            task.cancel()
        await asyncio.gather(*tasks[:-1], return_exceptions=True)
        return len(runs), took

    with statements() as sent:
        count, took = asyncio.run(wait())
    found = [s for s in sent if "feedback_batch" in s and s.lstrip().startswith("SELECT")]
    assert count == 100
    assert 3 <= len(found) <= took / 0.5 + 2


def test_a_watcher_tells_of_new_records_each_time_and_goes_on_after_a_restart(
    here: Store, say: Said
) -> None:
    say(here, 50)  # before anybody watched

    async def first() -> None:
        async with aclosing(watch(new_records=3).run()) as events:
            waiting = await silent(events)
            say(here, 2)
            await asyncio.sleep(0.2)
            assert not waiting.done()
            say(here, 2)
            event = (await asyncio.wait_for(waiting, 20)).payload
            assert event["why"] == {"new_records": "4 records came in, 3 wanted."}
            waiting = await silent(events)  # and by then it is kept
            await leave(waiting)

    asyncio.run(first())
    say(here, 3)  # while nobody watched

    async def second() -> None:
        async with aclosing(watch(new_records=3).run()) as events:
            assert "3 records" in str(await next_of(events))
            await leave(await silent(events))

    asyncio.run(second())


def test_what_was_told_and_perhaps_not_noted_is_told_once_more(here: Store, say: Said) -> None:
    async def die_after_the_event() -> dict[str, Any]:
        async with aclosing(watch(min_records=1, poll_interval=5).run()) as events:
            return await next_of(events)

    say(here)
    assert asyncio.run(die_after_the_event()) == asyncio.run(die_after_the_event())


def test_what_holds_is_told_of_once_until_it_held_no_longer(here: Store, say: Said) -> None:
    async def run() -> None:
        trigger = watch(score_below=3, min_scores=2, queue_older_than=3600)
        async with aclosing(trigger.run()) as events:
            say(here, 1, score=1)
            waiting = await silent(events)
            say(here, 1, score=2)
            event = (await asyncio.wait_for(waiting, 20)).payload
            assert event == {
                "model_name": "m",
                "partition": None,
                "records": None,
                "why": {"score_below": "The mean of 2 scores is 1.50, below 3."},
                "batch": 2,
            }
            waiting = await silent(events)
            queued(here, hours=2)
            event = (await asyncio.wait_for(waiting, 20)).payload
            assert list(event["why"]) == ["queue_older_than"]
            waiting = await silent(events)
            say(here, 4, score=5)
            await asyncio.sleep(0.3)
            say(here, 20, score=1)
            event = (await asyncio.wait_for(waiting, 20)).payload
            assert list(event["why"]) == ["score_below"]

    asyncio.run(run())


def test_a_store_that_cannot_be_looked_at_fails_all_who_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AI_STORE_DEFAULT", '{"extra": {"url": "mysql://x/y"}}')

    async def run() -> list[Any]:
        runs = [anext(watch(min_records=n + 1).run()) for n in range(3)]
        return await asyncio.wait_for(asyncio.gather(*runs, return_exceptions=True), 20)

    found = asyncio.run(run())
    assert [type(error).__name__ for error in found] == ["StoreError"] * 3


def test_a_store_that_is_away_for_a_while_is_looked_at_again(here: Store, say: Said) -> None:
    say(here)
    tries: list[int] = []

    def open_store() -> Store:
        tries.append(1)
        if len(tries) < 3:
            raise StoreUnavailableError("It is away.")
        return here

    async def run() -> int:
        poll = FeedbackPoll(open_store)
        ask = Wanted(model_name="m", min_records=1).ask(None)
        async with aclosing(poll.follow(ask, 0.05)) as looks:
            seen = await asyncio.wait_for(anext(looks), 20)
        return seen.records("m", None)

    assert asyncio.run(run()) == 1
    assert len(tries) == 3


def test_it_watches_an_asset_of_a_parsed_and_serialised_dag() -> None:
    trigger = FeedbackTrigger(model_name="m", new_records=500, score_below=3.5)
    assert isinstance(trigger, BaseEventTrigger)
    watcher = AssetWatcher(name="feedback", trigger=trigger)
    asset = Asset("ai-feedback://m", uri="ai-feedback://m", watchers=[watcher])
    with DAG("retrain", schedule=[asset]) as dag:
        pass
    data = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    written = str(data)
    assert "airflow_ai_provider.triggers.feedback.FeedbackTrigger" in written
    assert "'new_records': 500" in written
    again = DagSerialization.from_dict(data)
    (found,) = (a for _, a in again.timetable.asset_condition.iter_assets())
    (kept,) = found.watchers
    path, arguments = FeedbackTrigger(**kept.trigger["kwargs"]).serialize()
    assert kept.trigger["classpath"] == path
    assert arguments == trigger.serialize()[1]
    assert BaseEventTrigger.hash(path, arguments) == BaseEventTrigger.hash(*trigger.serialize())


def test_the_sensor_waits_for_scores_and_for_the_queue(here: Store, say: Said) -> None:
    def poke(**wanted: Any) -> Any:
        sensor = FeedbackSensor(task_id="t", model_name="m", **wanted)
        return sensor.poke({})

    low = {"score_below": "4", "min_scores": 2}
    assert not poke(**low)
    say(here, 2, score=3)
    found = poke(**low)
    assert found
    assert list(found.xcom_value) == ["score_below"]
    assert not poke(score_below=3, min_scores=2)
    assert not poke(queue_older_than=60)
    queued(here, hours=1)
    assert poke(queue_older_than=60)
    assert poke(queue_older_than=60, min_records=99).xcom_value == 2
    with pytest.raises(AirflowFailException, match="min_scores"):
        poke(score_below=3, min_scores="many")


def test_waiting_for_nothing_is_refused() -> None:
    assert wanted_of({"model_name": "m"}).min_records == 1
    for wrong in ({}, {"new_records": 0}, {"min_records": 1, "min_scores": 0}):
        with pytest.raises(FeedbackError):
            Wanted(model_name="m", **wrong)


@given(st.lists(st.integers(0, 6), max_size=12), st.integers(1, 8))
def test_new_records_are_told_of_in_order_and_each_counts_once(news: list[int], n: int) -> None:
    """Whatever comes in, what is told adds up to it, but for less than ``n`` at the end."""
    wanted, state, told = Wanted(model_name="m", new_records=n), {"batch": 0, "holds": []}, 0
    for last in range(1, len(news) + 1):
        seen = Seen(
            batches=[(number, {"m": news[number - 1]}) for number in range(1, last + 1)],
            last_batch=last,
        )
        before = state
        why, state = wanted.step(seen, state)
        assert bool(why) == (seen.came_in("m", before["batch"]) >= n)
        if why:
            told += seen.came_in("m", before["batch"])
    assert sum(news) - told < n
