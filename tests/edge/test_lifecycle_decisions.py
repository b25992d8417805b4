"""An override and a model's end, asked of the role that may, with contexts made by hand."""

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
)
from airflow_ai_provider.services.lifecycle import read_project_file
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.testing import FakeRegistry
from tests.edge.promotion_scene import connection, serving

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
