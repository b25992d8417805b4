"""The feedback operators, sensor and trigger, on a real store."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_ai_provider.assets import (
    decision_alias,
    feedback_alias,
    feedback_asset,
    retrain_asset,
)
from airflow_ai_provider.hooks.feedback import FeedbackHook
from airflow_ai_provider.operators.feedback import (
    FeedbackIngestOperator,
    FeedbackMetricsOperator,
    RetrainDecisionOperator,
)
from airflow_ai_provider.sensors.feedback import FeedbackSensor
from airflow_ai_provider.services.feedback import write_predictions
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.triggers.feedback import FeedbackTrigger
from tests.edge.task_context import context_of

MODEL = "flight_delays"


def outcomes(folder: Path, count: int = 60, *, label: int | None = None, **changes: Any) -> str:
    file = folder / "outcomes.jsonl"
    with file.open("w") as stream:
        for n in range(count):
            told = {
                "feedback_id": f"f{n}",
                "prediction_id": f"p{n}",
                "model_name": MODEL,
                "observed_at": "2013-06-10T00:00:00Z",
                "label": n % 2 if label is None else label,
                "source_kind": "outcome",
                "partition": "2013-06",
            }
            stream.write(json.dumps({**told, **changes}) + "\n")
    return str(file)


def ingest(paths: Any, **arguments: Any) -> FeedbackIngestOperator:
    return FeedbackIngestOperator(
        **{"task_id": "ingest", "paths": paths, "model_name": MODEL} | arguments
    )


def test_ingest_counts_and_tells_the_asset(here: Store, tmp_path: Path) -> None:
    operator = ingest(outcomes(tmp_path))
    context = context_of(operator)
    counts = operator.execute(context)
    assert counts == {
        "read": 60,
        "stored": 60,
        "revised": 0,
        "duplicates": 0,
        "quarantined": 0,
        "batch": 1,
    }
    [(asset, extra)] = context["outlet_events"][feedback_alias(MODEL)].added
    assert asset == feedback_asset(MODEL)
    assert (extra["model_name"], extra["new"], extra["batch"]) == (MODEL, 60, 1)


def test_the_same_file_in_another_run_tells_nobody(here: Store, tmp_path: Path) -> None:
    operator = ingest(outcomes(tmp_path))
    operator.execute(context_of(operator))
    context = context_of(operator, run_id="next")
    assert operator.execute(context)["duplicates"] == 60
    assert not context["outlet_events"]


def test_a_retry_still_tells_what_the_first_try_stored(here: Store, tmp_path: Path) -> None:
    operator = ingest(outcomes(tmp_path))
    operator.execute(context_of(operator))  # and then the worker died
    context = context_of(operator, try_number=2)
    assert operator.execute(context)["stored"] == 0
    [(_, extra)] = context["outlet_events"][feedback_alias(MODEL)].added
    assert extra["new"] == 60


def test_an_outlet_of_the_users_own_is_kept_and_a_template_adds_none() -> None:
    own = feedback_alias("other")
    assert ingest("x", outlets=[own]).outlets == [own, feedback_alias(MODEL)]
    assert ingest("x", model_name="{{ params.model }}").outlets == []
    assert ingest("x", model_name=None).outlets == []


@pytest.mark.parametrize("arguments", [{"paths": "/no/such/file"}, {"mapping": {"stars": "score"}}])
def test_hopeless_input_is_not_retried(
    here: Store, tmp_path: Path, arguments: dict[str, Any]
) -> None:
    operator = (
        ingest(outcomes(tmp_path), **arguments)
        if "paths" not in arguments
        else ingest(arguments["paths"])
    )
    with pytest.raises(AirflowFailException):
        operator.execute(context_of(operator))


def measured(tmp_path: Path, *, label: int | None = None) -> dict[str, Any]:
    numbers = range(60)
    write_predictions(
        str(tmp_path / "log"),
        {
            "prediction_id": [f"p{n}" for n in numbers],
            "score": [0.4 + n % 2 / 5 for n in numbers],
            "day": [f"2013-06-{1 + n % 30:02}" for n in numbers],
        },
        model_name=MODEL,
        version="1",
        partition="2013-06",
    )
    taken = ingest(outcomes(tmp_path, label=label))
    taken.execute(context_of(taken))
    operator = FeedbackMetricsOperator(
        task_id="measure",
        model_name=MODEL,
        predictions=str(tmp_path / "log"),
        partition="2013-06",
    )
    found: dict[str, Any] = operator.execute(context_of(operator))
    return dict(json.loads(json.dumps(found)))


def decision(metrics: Any, **arguments: Any) -> RetrainDecisionOperator:
    facts: dict[str, Any] = {
        "task_id": "decide",
        "model_name": MODEL,
        "policy": {"max_gap": 0.02, "max_age_days": 60},
        "metrics": metrics,
        "champion": {"version": "1", "trained_through": "2013-05-31"},
        "partition": "2013-06",
        "window_end": "2013-06-30",
        "newest_data": "2013-06-01",
    }
    return RetrainDecisionOperator(**{**facts, **arguments})


def test_metrics_are_small_plain_json(here: Store, tmp_path: Path) -> None:
    found = measured(tmp_path)
    assert (found["model_name"], found["partition"]) == (MODEL, "2013-06")
    (version,) = found["versions"]
    assert (version["version"], version["n"], version["coverage"]) == ("1", 60, 1.0)
    assert version["roc_auc"] == 1.0
    assert version["gap"] == 0.0


def test_a_yes_leaves_one_record_and_tells_production(here: Store, tmp_path: Path) -> None:
    operator = decision(measured(tmp_path, label=1))
    context = context_of(operator)
    told = operator.execute(context)
    assert told["retrain"]
    assert (told["judge_on"], told["partition"]) == ("2013-06", "2013-06")
    assert {reason["name"] for reason in told["reasons"]} >= {"calibration_gap", "champion_age"}
    assert json.loads(json.dumps(told)) == told
    record = Ledger(here).get(told["record"])
    assert (record.kind, record.subject, record.verdict) == (
        "retrain",
        f"mlflow://{MODEL}/1",
        "pass",
    )
    assert (record.decided_by, record.task_id) == ("RetrainDecisionOperator", "decide")
    [(asset, extra)] = context["outlet_events"][decision_alias(MODEL)].added
    assert asset == retrain_asset(MODEL)
    assert extra == {name: value for name, value in told.items() if name != "retrain"}
    again = operator.execute(context_of(operator, try_number=2))
    assert again["record"] == told["record"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"in_flight": True},
        {"in_flight": "True"},
        {"champion": None},
        {"newest_data": None},
        {"policy": {"max_gap": 0.02, "min_feedback": 61}},
    ],
)
def test_a_no_is_a_decision_and_tells_nobody(
    here: Store, tmp_path: Path, arguments: dict[str, Any]
) -> None:
    operator = decision(measured(tmp_path, label=1), **arguments)
    context = context_of(operator)
    told = operator.execute(context)
    assert not told["retrain"]
    assert Ledger(here).get(told["record"]).verdict == "fail"
    assert not context["outlet_events"]


def test_a_policy_that_means_nothing_is_not_retried(here: Store) -> None:
    operator = decision(None, policy={"max_gpa": 1})
    with pytest.raises(AirflowFailException, match="max_gpa"):
        operator.execute(context_of(operator))


def sensor(**arguments: Any) -> FeedbackSensor:
    facts: dict[str, Any] = {"task_id": "wait", "model_name": MODEL, "partition": "2013-06"}
    return FeedbackSensor(**{**facts, **arguments})


def test_the_sensor_waits_for_enough_records_of_the_partition(here: Store, tmp_path: Path) -> None:
    assert not sensor().poke(context_of(sensor()))
    FeedbackHook().get_conn().ingest(outcomes(tmp_path))
    seen = sensor(min_records="60").poke(context_of(sensor()))
    assert seen
    assert seen.xcom_value == 60
    assert not sensor(min_records=61).poke(context_of(sensor()))
    assert not sensor(partition="2013-07").poke(context_of(sensor()))
    assert sensor(partition=None).poke(context_of(sensor()))


def test_a_deferrable_sensor_defers_only_while_it_must(here: Store, tmp_path: Path) -> None:
    operator = sensor(deferrable=True, min_records=60)
    before = datetime.now(timezone.utc)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context_of(operator))
    trigger = deferred.value.trigger
    assert isinstance(trigger, FeedbackTrigger)
    assert trigger.not_before is not None
    interval = conf.getint("workers", "min_heartbeat_interval")
    assert trigger.not_before >= before + timedelta(seconds=interval + 1)
    assert deferred.value.method_name == "execute_complete"
    FeedbackHook().get_conn().ingest(outcomes(tmp_path))
    assert operator.execute(context_of(operator)) == 60
    assert operator.execute_complete(context_of(operator), {"records": 61}) == 61
    low = {"records": None, "why": {"score_below": "It is."}}
    assert operator.execute_complete(context_of(operator), low) == {"score_below": "It is."}


def test_the_trigger_survives_being_written_down() -> None:
    path, arguments = FeedbackTrigger(
        model_name=MODEL, min_records=3, not_before=datetime(2030, 1, 1, tzinfo=timezone.utc)
    ).serialize()
    assert path == "airflow_ai_provider.triggers.feedback.FeedbackTrigger"
    assert FeedbackTrigger(**arguments).serialize() == (path, arguments)


async def first_event(trigger: FeedbackTrigger) -> dict[str, Any]:
    async for event in trigger.run():
        return dict(event.payload)
    raise AssertionError("no event")


def test_the_trigger_fires_when_the_records_are_there_and_not_too_soon(
    here: Store, tmp_path: Path
) -> None:
    FeedbackHook().get_conn().ingest(outcomes(tmp_path, 10))
    not_before = datetime.now(timezone.utc) + timedelta(seconds=0.3)
    trigger = FeedbackTrigger(
        model_name=MODEL, min_records=60, not_before=not_before, poll_interval=0.05
    )

    async def meanwhile() -> dict[str, Any]:
        firing = asyncio.create_task(first_event(trigger))
        await asyncio.sleep(0.4)
        assert not firing.done()
        await asyncio.to_thread(lambda: FeedbackHook().get_conn().ingest(outcomes(tmp_path)))
        return await asyncio.wait_for(firing, timeout=20)

    event = asyncio.run(meanwhile())
    why = {"min_records": "60 records are there, 60 wanted."}
    seen = {"model_name": MODEL, "partition": None, "records": 60, "batch": 2}
    assert event == {**seen, "why": why}
    assert datetime.now(timezone.utc) > not_before
