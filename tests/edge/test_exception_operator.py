"""The exception loop as a task: it fills the queue, asks by human-in-the-loop, takes answers in."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.standard.exceptions import HITLTimeoutError
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import CreateHITLDetailPayload

from airflow_ai_provider.assets import feedback_alias, feedback_asset
from airflow_ai_provider.core.feedback.asking import COMMENT, body_of, field_of
from airflow_ai_provider.core.feedback.exceptions import CaseState
from airflow_ai_provider.operators.exceptions import ExceptionReviewOperator
from airflow_ai_provider.services.exceptions import ExceptionService
from airflow_ai_provider.services.feedback import write_predictions
from airflow_ai_provider.store.feedback import FeedbackStore
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.schema import exception_seat
from tests.edge.airflow_versions import AskedSomebody

MODEL = "m"


class Supervisor:
    """Airflow's side of a task that asks: keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def send(self, msg: Any) -> None:
        if isinstance(msg, CreateHITLDetailPayload):
            self.asked.append(msg)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    found = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", found, raising=False)
    return found


class Added(list[Any]):
    def add(self, asset: Any, extra: dict[str, Any]) -> None:
        self.append((asset, extra))


def context_of(operator: Any, pushed: dict[str, Any] | None = None) -> Any:
    found = {} if pushed is None else pushed
    ti = SimpleNamespace(
        id="00000000-0000-0000-0000-000000000001",
        dag_id="d",
        run_id="r",
        task_id=operator.task_id,
        map_index=-1,
        try_number=1,
        xcom_push=lambda key, value: found.__setitem__(key, json.loads(json.dumps(value))),
        xcom_pull=lambda key, **_: found.get(key),
    )
    return {"ti": ti, "task_instance": ti, "task": operator, "outlet_events": defaultdict(Added)}


@pytest.fixture
def service(ledger: Ledger) -> ExceptionService:
    return ExceptionService(ledger.store)


@pytest.fixture
def log(tmp_path: Path) -> str:
    write_predictions(
        str(tmp_path / "log"),
        {
            "prediction_id": ["a", "b", "c"],
            "score": [0.55, 0.52, 0.99],
            "day": ["2026-06-01"] * 3,
            "note": ["<b>|x", "plain", "sure"],
        },
        model_name=MODEL,
        version="1",
        partition="2026-06",
    )
    return str(tmp_path / "log")


def review(log: str, **arguments: Any) -> ExceptionReviewOperator:
    facts: dict[str, Any] = {
        "task_id": "review",
        "model_name": MODEL,
        "predictions": log,
        "min_confidence": 0.6,
        "show": ["note"],
        "labels": {"late": 1, "in time": 0},
    }
    return ExceptionReviewOperator(**{**facts, **arguments})


def answered(form: dict[str, Any], who: str | None = "ann") -> dict[str, Any]:
    return {
        "chosen_options": ["Submit"],
        "params_input": form,
        "responded_at": datetime.now(timezone.utc),
        "responded_by_user": who and {"id": who, "name": who},
    }


def test_without_asking_it_fills_the_queue(service: ExceptionService, log: str) -> None:
    operator = review(log)
    told = operator.execute(context_of(operator))
    assert (told["added"], told["asked"]) == (2, 0)
    assert [case.prediction_id for case in service.queue.find()] == ["b", "a"]
    assert {case.dag_id for case in service.queue.find()} == {"d"}
    assert operator.execute(context_of(operator))["known"] == 2


def test_it_asks_once_and_the_answers_are_feedback(
    service: ExceptionService, log: str, supervisor: Supervisor
) -> None:
    operator, pushed = review(log, ask=True, assigned_users=["ann", "bob"]), {}
    with pytest.raises(AskedSomebody):
        operator.execute(context_of(operator, pushed))
    (asked,) = supervisor.asked
    assert [user.id for user in asked.assigned_users] == ["ann", "bob"]
    fields = [name for name in asked.params if name != COMMENT]
    assert [asked.params[name]["schema"]["enum"] for name in fields] == [
        [None, "late", "in time"]
    ] * 2
    assert "\\<b\\>\\|x" in asked.body
    mine = review(log, ask=True, task_id="other")
    assert mine.execute(context_of(mine))["asked"] == 0  # nothing is shown twice

    operator = review(log, ask=True, assigned_users=["ann", "bob"])
    with pytest.raises(AskedSomebody):  # a retry asks about the same
        operator.execute(context_of(operator, {}))
    assert list(supervisor.asked[-1].params) == list(asked.params)

    operator = review(log, ask=True, assigned_users=["ann", "bob"])
    context = context_of(operator, pushed)
    cases = {case.assigned_to: case for case in service.queue.find()}
    hers, his = cases["ann",], cases["bob",]
    told = operator.execute_complete(
        context,
        answered({field_of(hers): "late", field_of(his): "late", COMMENT: "fog"}),
    )
    assert (told["added"], told["asked"], told["answered"]) == (2, 2, 1)
    assert [one["case"] for one in told["refused"]] == [his.id]  # assigned to bob
    assert json.loads(json.dumps(told)) == told
    assert FeedbackStore(service.store).totals()["stored"] == 1
    [(asset, extra)] = context["outlet_events"][feedback_alias(MODEL)]
    assert (asset, extra["new"]) == (feedback_asset(MODEL), 1)
    states = {case.id: case.state for case in service.queue.find()}
    assert states == {hers.id: CaseState.ANSWERED, his.id: CaseState.OPEN}


def test_what_is_left_empty_or_wrong_goes_to_somebody_else(
    service: ExceptionService, log: str, supervisor: Supervisor
) -> None:
    operator, pushed = review(log, ask=True), {}
    with pytest.raises(AskedSomebody):
        operator.execute(context_of(operator, pushed))
    one, two = service.queue.find()
    form = {field_of(one): None, field_of(two): "never"}
    told = operator.execute_complete(context_of(operator, pushed), answered(form))
    assert (told["returned"], told["answered"], len(told["refused"])) == (1, 0, 1)
    assert [case.id for case in service.claim("ann", limit=5)] == [two.id]
    assert [case.id for case in service.claim("bob", limit=5)] == [one.id]


def test_the_setting_for_comments_holds_for_the_queue_too(
    service: ExceptionService,
    log: str,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator, pushed = review(log, ask=True), {}
    with pytest.raises(AskedSomebody):
        operator.execute(context_of(operator, pushed))
    form = {field_of(case): "late" for case in service.queue.find()}
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__FEEDBACK_COMMENTS", "drop")
    told = operator.execute_complete(
        context_of(operator, pushed), answered({**form, COMMENT: "call ann"})
    )
    assert told["answered"] == 2
    with service.store.read() as connection:
        kept = connection.execute(sa.select(exception_seat.c.answer)).scalars().all()
    assert [answer["comment"] for answer in kept] == [None, None]


def test_no_answer_in_time_gives_the_cases_back(
    service: ExceptionService, log: str, supervisor: Supervisor
) -> None:
    operator = review(log, ask=True, response_timeout=timedelta(minutes=1))
    with pytest.raises(AskedSomebody):
        operator.execute(context_of(operator))
    event = {"error": "too late", "error_type": "timeout"}
    with pytest.raises(HITLTimeoutError):
        operator.execute_complete(context_of(operator), event)
    assert len(service.claim("ann", limit=5)) == 2


def test_an_answer_of_nobody_is_none(
    service: ExceptionService, log: str, supervisor: Supervisor
) -> None:
    operator = review(log, ask=True)
    with pytest.raises(AskedSomebody):
        operator.execute(context_of(operator))
    with pytest.raises(AirflowFailException, match="Nobody"):
        operator.execute_complete(context_of(operator), answered({}, who=None))


@pytest.mark.parametrize("wrong", [{"people": 0}, {"predictions": "/no/such"}, {"show": ["what"]}])
def test_hopeless_arguments_are_not_retried(
    service: ExceptionService, log: str, wrong: dict[str, Any]
) -> None:
    operator = review(log, **wrong)
    with pytest.raises(AirflowFailException):
        operator.execute(context_of(operator))


def test_what_data_says_is_no_markup() -> None:
    case: Any = SimpleNamespace(
        prediction_id="](http://x)",
        reasons=("disputed",),
        facts={"note": "a|b\n<img src=x> `c` " + "y" * 900},
    )
    row = body_of([case]).splitlines()[2]
    assert row.count(" | ") == 3
    assert "\\](http://x)" in row
    assert "\\<img" in row
    assert len(row) < 500
