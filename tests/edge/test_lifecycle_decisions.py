"""Decisions that are asked of the role that may take them, with contexts made by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.operators.lifecycle import PhaseGateOperator
from airflow_ai_provider.operators.lifecycle_decisions import (
    ModelRetireOperator,
    PhaseOverrideOperator,
    ProjectHandOverOperator,
)
from airflow_ai_provider.services.lifecycle import read_project_file
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.lifecycle import Projects
from airflow_ai_provider.store.model_places import keep_place
from airflow_ai_provider.testing import FakeRegistry
from tests.edge.promotion_scene import connection, serving
from tests.services.project_scene import note, plan_of

PROJECTS = Path(__file__).parents[2] / "dags" / "projects"
TEMPLATE = PROJECTS / "flight_delays.yaml"
REASON = "The season is over and nobody reads the warnings any more."


def context_of(operator: Any) -> dict[str, Any]:
    ti = SimpleNamespace(
        dag_id="d", run_id="r", task_id=operator.task_id, map_index=-1, try_number=1, task=operator,
        xcom_push=lambda **_: None,
    )  # fmt: skip
    return {"ti": ti, "dag": SimpleNamespace(fileloc=str(PROJECTS / "d.py")), "task": operator}


def answer(option: str, reason: str | None = REASON, by: str | None = "sponsor") -> dict[str, Any]:
    return {
        "chosen_options": [option],
        "params_input": {"reason": reason},
        "responded_at": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "responded_by_user": {"id": by, "name": by} if by else None,
    }


@pytest.fixture
def refused(ledger: Ledger) -> dict[str, Any]:
    """The result of a phase gate that refused; nothing of discovery is there."""
    gate = PhaseGateOperator(
        task_id="gate", project=str(TEMPLATE), phase="discovery", on_fail="warn"
    )
    return gate.execute(context_of(gate))


def overriding(refusal: Any) -> PhaseOverrideOperator:
    return PhaseOverrideOperator(task_id="override", project=str(TEMPLATE), refusal=refusal)


def test_override_lets_the_next_gate_pass_and_is_on_record(
    ledger: Ledger, refused: dict[str, Any]
) -> None:
    operator = overriding(refused)
    found = operator.execute_complete(context_of(operator), answer("Override"))
    json.dumps(found)
    record = ledger.get(found["record"])
    assert (record.kind, record.decided_by) == (GateKind.OVERRIDE.value, "sponsor")
    assert record.evidence["reason"] == REASON
    assert found["criteria"] == ["milestones"]
    gate = PhaseGateOperator(task_id="again", project=str(TEMPLATE), phase="discovery")
    context = {**context_of(gate), "outlet_events": {}}
    context["outlet_events"] = _Events()
    assert gate.execute(context)["verdict"] == "override"


class _Events(dict[Any, Any]):
    def __missing__(self, _key: Any) -> Any:
        return SimpleNamespace(add=lambda *_args, **_kwargs: None)


@pytest.mark.parametrize(
    ("given", "raised", "says"),
    [
        (answer("Stand by the refusal"), AirflowSkipException, "Stand by"),
        (answer("Override", by=None), AirflowFailException, "Nobody answered"),
        (answer("Override", reason=None), AirflowFailException, "no reason"),
        (answer("Override", reason="because I say so, yes"), None, ""),
        (answer("Override", by="viewer"), AirflowFailException, "Only the sponsor"),
        (answer("Override", by="ml"), AirflowFailException, "Only the sponsor"),
    ],
)
def test_only_a_yes_of_the_role_with_a_reason_counts(
    ledger: Ledger, refused: dict[str, Any], given: Any, raised: Any, says: str
) -> None:
    operator = overriding(refused)
    if raised is None:
        operator.execute_complete(context_of(operator), given)
        return
    with pytest.raises(raised, match=says):
        operator.execute_complete(context_of(operator), given)
    assert ledger.search(kind=GateKind.OVERRIDE) == []


def test_the_role_is_asked_and_told_what_was_refused(refused: dict[str, Any]) -> None:
    operator = overriding(refused)
    file = read_project_file(TEMPLATE)
    assert operator.roles(file) == ("sponsor",)
    body = operator.asks(file)
    assert "milestones" in body
    assert refused["record"] in body
    hostile = {**refused, "criteria": [{"name": "<b>", "sentence": "[x](y)", "verdict": "fail"}]}
    assert "<b>" not in overriding(hostile).asks(file).replace("\\<", "")


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> Iterator[FakeRegistry]:
    """A registry, over HTTP, with version 1 of flight_delays in production."""
    fake = FakeRegistry()
    fake.create_model("flight_delays")
    fake.create_version("flight_delays", model_uri="m", run_id="r", tags={})
    fake.set_alias("flight_delays", "production", "1")
    ledger.append(
        GateDraft(
            kind=GateKind.PROMOTION,
            subject="mlflow://flight_delays/1",
            verdict=Verdict.PASS,
            evidence={
                "model_name": "flight_delays",
                "environment": "production",
                "from": None,
                "to": "1",
                "moved_by": "ml",
            },
        )
    )
    with serving(fake) as address:
        monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", connection(host=address))
        yield fake


def test_model_retires_in_the_name_of_who_answered(ledger: Ledger, live: FakeRegistry) -> None:
    operator = ModelRetireOperator(
        task_id="retire", project=str(TEMPLATE), model_name="flight_delays"
    )
    assert operator.roles(read_project_file(TEMPLATE)) == ("operations", "sponsor")
    found = operator.execute_complete(context_of(operator), answer("Retire"))
    assert found["versions"] == {"production": "1"}
    assert live.aliases("flight_delays") == {}
    record = ledger.get(found["records"][0])
    assert (record.evidence["to"], record.decided_by) == (None, "sponsor")
    assert REASON in record.evidence["why"]
    again = operator.execute_complete(context_of(operator), answer("Retire"))
    assert again["versions"] == {}


@pytest.fixture
def in_production(ledger: Ledger) -> Store:
    """The store, with the project in production and version 3 of one of its models live."""
    store = ledger.store
    note(store, plan_of(), phase="production")
    moved = ledger.get(live_since(ledger, "3"))
    with store.write() as connection:
        keep_place(connection, "flight_delays", moved)
    return store


def live_since(ledger: Ledger, version: str) -> str:
    draft = GateDraft(
        kind=GateKind.PROMOTION,
        subject=f"mlflow://flight_delays/{version}",
        verdict=Verdict.PASS,
        evidence={"environment": "production", "from": None, "to": version},
    )
    return ledger.append(draft).id


def handing_over() -> ProjectHandOverOperator:
    return ProjectHandOverOperator(task_id="hand_over", project=str(TEMPLATE))


def test_operations_takes_a_project_over(ledger: Ledger, in_production: Store) -> None:
    operator = handing_over()
    body = operator.asks(read_project_file(TEMPLATE))
    assert "**flight\\_delays**, version 3" in body
    given, events = answer("Take over", by="sponsor"), _Told()
    context = {**context_of(operator), "outlet_events": events}
    found = operator.execute_complete(context, given)
    assert json.loads(json.dumps(found)) == found
    assert found["models"] == {"flight_delays": "3"}
    record = ledger.get(found["record"])
    assert (record.subject, record.decided_by) == ("project://flight_delays/maintenance", "sponsor")
    assert record.evidence["reason"] == REASON
    row = Projects(in_production).get("flight_delays")
    assert row is not None
    assert row.phase == "maintenance"
    assert events.told == [("ai-project://flight_delays/maintenance", found["record"])]
    again = handing_over().execute_complete(context, given)
    assert again["record"] == found["record"]


class _Told(dict[Any, Any]):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str]] = []

    def __missing__(self, _key: Any) -> Any:
        def add(asset: Any, extra: dict[str, Any]) -> None:
            self.told.append((asset.name, extra["record"]))

        return SimpleNamespace(add=add)


@pytest.mark.parametrize(
    ("given", "raised", "says"),
    [
        (answer("Not yet", by="sponsor"), AirflowSkipException, "Not yet"),
        (answer("Take over", by="ml"), AirflowFailException, "Only who fills"),
        (answer("Take over", by=None), AirflowFailException, "Nobody answered"),
        (answer("Take over", by="sponsor", reason="ok"), AirflowFailException, "no reason"),
    ],
)
def test_nobody_else_takes_a_project_over(
    in_production: Store, given: Any, raised: Any, says: str
) -> None:
    operator = handing_over()
    with pytest.raises(raised, match=says):
        operator.execute_complete(context_of(operator), given)
    row = Projects(in_production).get("flight_delays")
    assert row is not None
    assert row.phase == "production"


@pytest.mark.parametrize("phase", [None, "pilot"])
def test_a_project_before_production_is_not_handed_over(ledger: Ledger, phase: str | None) -> None:
    if phase:
        note(ledger.store, plan_of(), phase=phase)
    operator = handing_over()
    with pytest.raises(AirflowFailException, match="not in production"):
        operator.execute(context_of(operator))
    with pytest.raises(AirflowFailException, match="not in production"):
        operator.execute_complete(context_of(operator), answer("Take over", by="sponsor"))
