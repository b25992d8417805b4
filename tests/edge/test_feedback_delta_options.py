"""What the storage of Delta tables wants to know is in the store's connection, for everybody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.cli import main
from airflow_ai_provider.core.errors import FeedbackSinkError
from airflow_ai_provider.hooks.feedback import FeedbackHook
from airflow_ai_provider.operators.exceptions import ExceptionReviewOperator
from airflow_ai_provider.operators.feedback import FeedbackIngestOperator
from airflow_ai_provider.plugins._store import the_store
from airflow_ai_provider.sensors.feedback import FeedbackSensor
from airflow_ai_provider.services.feedback_status import feedback_status
from airflow_ai_provider.services.promotion.life import StoreLife
from tests.edge.feedback_waiting import next_of, watch
from tests.edge.task_context import context_of
from tests.object_store import BUCKET, Bucket, object_store_apart

ADDRESS = f"s3://{BUCKET}/feedback"
SECRET = "not-to-be-seen"
SOON = {"max_retries": "1", "retry_timeout": "5s", "timeout": "5s"}  # or it is an error
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Bucket, Callable[[], None]]]:
    """A bucket that the connection alone leads to: the environment says another."""
    with object_store_apart() as (found, end):
        options = {**found.options, **SOON, "AWS_SECRET_ACCESS_KEY": SECRET}
        monkeypatch.setenv("AWS_ENDPOINT_URL", NOBODY)
        connect(monkeypatch, tmp_path, options)
        yield found, end


@pytest.fixture
def bucket(storage: tuple[Bucket, Callable[[], None]]) -> Bucket:
    return storage[0]


def connect(monkeypatch: pytest.MonkeyPatch, folder: Path, options: dict[str, str]) -> None:
    extra = {"url": f"sqlite:///{folder / 'ai.db'}", "delta_options": options}
    said = json.dumps({"conn_type": "ai_store", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_AI_STORE_DEFAULT", said)


def ingest(folder: Path, **more: Any) -> dict[str, Any]:
    file = folder / "in.jsonl"
    told = {"model_name": "m", "observed_at": "2013-06-10T00:00:00Z", "score": 1}
    with file.open("w") as stream:
        for n in range(3):
            ids = {"feedback_id": f"f{n}", "prediction_id": f"p{n}"}
            stream.write(json.dumps({**ids, **told}) + "\n")
    operator = FeedbackIngestOperator(task_id="ingest", paths=str(file), delta=ADDRESS, **more)
    return operator.execute(context_of(operator))


def test_whoever_reads_feedback_finds_it_by_the_connection(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest(tmp_path)["stored"] == 3
    sensor = FeedbackSensor(task_id="wait", model_name="m", min_records=3)
    assert sensor.poke(context_of(sensor)).xcom_value == 3
    review = ExceptionReviewOperator(task_id="review", model_name="m", max_score=2)
    assert review.execute(context_of(review))["added"] == 3
    assert StoreLife(FeedbackHook().get_conn().store).feedback("m", 1) == 3
    assert feedback_status(the_store())["models"] == {"m": 3}
    capsys.readouterr()
    assert main(["feedback", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tables"] == [ADDRESS]


def test_the_trigger_finds_it_and_writes_no_secret_down(bucket: Bucket, tmp_path: Path) -> None:
    ingest(tmp_path)
    trigger = watch(min_records=3)

    async def fire() -> dict[str, Any]:
        async with aclosing(trigger.run()) as events:
            return await next_of(events)

    assert asyncio.run(fire())["records"] == 3
    assert SECRET not in repr(trigger.serialize())


def test_an_argument_goes_before_the_connection(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, tmp_path, {**bucket.options, **SOON, "AWS_ENDPOINT_URL": NOBODY})
    more = {"AWS_ENDPOINT_URL": bucket.url}
    assert ingest(tmp_path, delta_options=more)["stored"] == 3
    assert FeedbackHook(delta_options=more).count("m") == 3


def test_a_storage_that_refuses_is_named_without_its_options(
    storage: tuple[Bucket, Callable[[], None]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ingest(tmp_path)
    storage[1]()
    with pytest.raises(FeedbackSinkError, match=ADDRESS) as raised:
        FeedbackSensor(task_id="wait", model_name="m").poke({})
    assert SECRET not in f"{raised.value} {caplog.text}"
