"""What is to be seen of projects: true to the store, JSON-safe, in few queries."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from airflow_ai_provider.core.errors import LifecycleError
from airflow_ai_provider.core.gate import GateKind, Verdict
from airflow_ai_provider.core.lifecycle.timeline import Happened
from airflow_ai_provider.services.project_view import Given, board, project
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.model_places import keep_place
from tests.services.project_scene import NAME, decide, lived, note, plan_of
from tests.statements import statements

TODAY = datetime.now(timezone.utc).date()  # as the store's clock has it


def test_a_project_shows_what_the_store_knows_in_ten_queries(store: Store) -> None:
    lived(store)
    with statements(store) as asked:
        found = project(store, NAME, today=TODAY)
    assert 0 < len(asked) <= 10
    assert json.loads(json.dumps(found)) == found
    assert (found["phase"], found["next_gate"]) == ("pilot", "pilot")
    assert [p["state"] for p in found["phases"]] == ["done", "current", "ahead", "ahead"]
    assert found["phases"][0]["gate"]["verdict"] == "pass"
    assert found["progress"] == 0.7  # discovery and its six milestones, of ten
    assert [m["state"] for m in found["timeline"]["milestones"]] == [
        "done", "running", "waiting", "waiting",
    ]  # fmt: skip
    assert found["waiting_for"][0]["person"] == "ml"
    assert found["timeline"]["late"][0]["days"] > 5  # discovery took a month, five days were likely


def test_kpis_come_from_live_metrics_gates_or_the_caller_and_else_are_not_measured(
    store: Store,
) -> None:
    lived(store)
    told = {"warnings_acted_on": [{"at": "2026-01-01", "value": 0.4}]}
    kpis = {k["name"]: k for k in project(store, NAME, today=TODAY, given=Given(kpis=told))["kpis"]}
    assert kpis["ranking_quality"]["from"] == "gate records"
    assert [(p["value"], p["met"]) for p in kpis["ranking_quality"]["points"]] == [
        (0.61, False),
        (0.74, True),
    ]
    assert kpis["trusted_probability"]["from"] == "live metrics"
    assert [p["value"] for p in kpis["trusted_probability"]["points"]] == [0.01, 0.02, 0.03]
    assert kpis["warnings_acted_on"]["from"] == "the caller"
    assert kpis["answer_time"]["from"] is None
    assert kpis["answer_time"]["points"] == []


def test_a_measure_says_where_a_kpi_comes_from_and_what_is_good(store: Store) -> None:
    measures = {
        "ranking": {"gate": {"subject": f"mlflow://{NAME}", "criterion": "ranking_quality"},
                    "at_least": 0.7},
        "elsewhere": {"gate": {"subject": "mlflow://other", "criterion": "ranking_quality"},
                      "at_least": 0.7},
        "gap": {"feedback": {"model": NAME, "metric": "trusted_probability"}, "at_most": 0.02},
        "asked": {"query": {"sql": "select 1"}, "at_least": 3},
    }  # fmt: skip
    kpis = [
        {"name": name, "kind": "quality", "target": "good", "measure": measure}
        for name, measure in measures.items()
    ]
    risk = {"likelihood": 3, "impact": 3, "owner": "sponsor", "mitigation": "look"}
    risks = [
        {"name": "drifting", "trigger": {"kpi": "gap", "above": 0.02}, **risk},
        {"name": "weak", "trigger": {"kpi": "ranking", "below": 0.7}, **risk},
        {"name": "blind", "trigger": {"kpi": "asked", "below": 3}, **risk},
        {"name": "untold", "trigger": None, **risk},
    ]
    lived(store, plan_of(kpis=kpis, risks=risks))
    found = project(store, NAME, today=TODAY)
    assert json.loads(json.dumps(found)) == found
    met = {k["name"]: [p["met"] for p in k["points"]] for k in found["kpis"]}
    assert met == {
        "ranking": [False, True],
        "elsewhere": [],
        "gap": [True, True, False],
        "asked": [],
    }
    said = {r["name"]: (r["measured"], r["fired"]) for r in found["risks"]}
    assert said == {
        "drifting": (True, "gap is 0.03, above 0.02."),
        "weak": (True, None),
        "blind": (False, None),
        "untold": (False, None),
    }
    assert found["risks"][0]["name"] == "drifting"


def test_a_plan_may_say_when_it_begins(store: Store) -> None:
    later = TODAY + timedelta(days=30)
    note(store, plan_of(name="later", start=later.isoformat()), phase="discovery", days_ago=0)
    found = project(store, "later", today=TODAY)["timeline"]
    assert found["start"] == later.isoformat()
    assert found["planned_finish"] > later.isoformat()
    note(store, plan_of(name="behind", start=(TODAY - timedelta(days=90)).isoformat()))
    found = project(store, "behind", today=TODAY)["timeline"]
    assert found["late"]
    assert found["planned_finish"] < found["p50"]


def test_models_resources_and_risks(store: Store) -> None:
    lived(store)
    fired = {"season": "Calibration left its band in June."}
    found = project(
        store, NAME, today=TODAY, given=Given(fired=fired, spent={"pilot": "EUR 3,000"})
    )
    model = next(m for m in found["models"] if m["name"] == NAME)
    assert model["environments"]["production"]["version"] == "1"
    pilot = next(r for r in found["resources"] if r["phase"] == "pilot")
    assert pilot["gpu_hours_used"] == pytest.approx(4.0, abs=0.01)
    assert pilot["gpu_hours_shared"] == pytest.approx(1.0, abs=0.01)
    assert pilot["over"]  # one hour and three tenths were allowed
    assert pilot["money_spent"] == "EUR 3,000"
    assert found["risks"][0]["name"] == "season"
    assert [r["fired"] for r in found["risks"]][1:] == [None, None]
    assert any(d["what"] == "Answer the risk season" for d in found["decisions"])
    unmeasured = project(store, NAME, today=TODAY)["risks"]
    assert not any(r["measured"] for r in unmeasured)


def test_a_version_that_was_taken_away_is_in_no_environment(store: Store) -> None:
    lived(store)
    decide(store, f"mlflow://{NAME}/1", kind=GateKind.ROLLBACK, environment="production", to=None)
    found = project(store, NAME, today=TODAY)
    assert all(not m["environments"] for m in found["models"])


def test_what_a_caller_knows_moves_the_forecast(store: Store) -> None:
    lived(store)
    before = project(store, NAME, today=TODAY)["timeline"]
    done = {"pilots": Happened(started=TODAY - timedelta(days=9), finished=TODAY)}
    after = project(store, NAME, today=TODAY, given=Given(happened=done))["timeline"]
    assert after["p50"] < before["p50"]
    assert after["done"] == 2


def test_a_project_that_nobody_knows_is_refused(store: Store) -> None:
    with pytest.raises(LifecycleError, match="no project nothing"):
        project(store, "nothing", today=TODAY)


def test_the_board_asks_the_same_number_of_queries_whatever_the_number(store: Store) -> None:
    def asked_for(number: int) -> int:
        for each in range(number):
            note(store, plan_of(name=f"project{each}"), phase="discovery")
        with statements(store) as asked:
            found = board(store, today=TODAY)
        assert sum(len(p["cards"]) for p in found["phases"]) == number
        assert json.loads(json.dumps(found)) == found
        return len(asked)

    assert asked_for(1) == asked_for(8) <= 10


def test_a_card_says_where_a_project_stands(store: Store) -> None:
    lived(store)
    note(store, plan_of(name="fresh"), phase="discovery", days_ago=0)
    decide(store, "project://fresh/discovery/kick_off")
    phases = {p["name"]: p for p in board(store, today=TODAY)["phases"]}
    (card,) = phases["pilot"]["cards"]
    assert (card["name"], card["progress"], card["next_gate"]) == (NAME, 0.7, "pilot")
    assert card["late"]
    assert card["p50"] <= card["p90"]
    (card,) = phases["discovery"]["cards"]
    assert [w["milestone"] for w in card["waiting_for"]] == [
        "data_landscape",
        "process_and_technology",
        "skills_landscape",
    ]
    assert phases["production"]["projects"] == 0


def test_the_board_counts_live_models_against_their_limit(store: Store) -> None:
    uses = plan_of()["use_cases"]
    note(store, plan_of(name="two", live_model_limit=1), phase="production")
    note(store, plan_of(name="none", use_cases=[{**uses[0], "name": "other"}]), phase="production")
    ledger = Ledger(store)
    for model, at in (*((use["name"], "production") for use in uses[:2]), ("other", "staging")):
        move = {"environment": at, "to": "1"}
        moved = ledger.get(decide(store, f"mlflow://{model}/1", kind=GateKind.PROMOTION, **move))
        with store.write() as connection:
            keep_place(connection, model, moved)
    found = {p["name"]: p for p in board(store, today=TODAY)["phases"]}["production"]
    cards = {card["name"]: card for card in found["cards"]}
    assert cards["two"]["live_models"] == [use["name"] for use in uses[:2]]
    assert cards["none"]["live_models"] == []
    limit = cards["none"]["live_model_limit"]
    assert (found["projects"], found["live_models"], found["over"]) == (2, 2, 1)
    assert found["live_model_limit"] == 1 + limit


def test_a_plan_that_cannot_be_shown_hides_no_other(store: Store) -> None:
    estimate = {"best": 9, "likely": 2, "worst": 1}
    broken = [{"name": "a", "phase": "pilot", "owner": "sponsor", "estimate": estimate}]
    note(store, plan_of(name="broken", milestones=broken))
    note(store, plan_of(name="whole"))
    cards = {c["name"]: c for p in board(store, today=TODAY)["phases"] for c in p["cards"]}
    assert "runs backwards" in cards["broken"]["problem"]
    assert cards["whole"]["problem"] is None


def test_a_project_without_plan_or_budget_is_shown(store: Store) -> None:
    note(store, plan_of(name="bare", milestones=[], budget={}, risks=[]), phase="maintenance")
    found = project(store, "bare", today=TODAY)
    assert found["timeline"]["p50"] is None
    assert found["resources"] == found["risks"] == []
    assert found["next_gate"] is None


def test_a_refused_gate_is_a_next_decision(store: Store) -> None:
    lived(store)
    decide(store, f"project://{NAME}/pilot", verdict=Verdict.FAIL)
    found = project(store, NAME, today=TODAY, given=Given(
        pending=[{"what": "Approve version 2", "who": "ada", "since": "2026-01-01"}]))  # fmt: skip
    assert found["phases"][1]["gate"]["verdict"] == "fail"
    assert found["decisions"][0] == {
        "what": "Approve version 2", "who": "ada", "since": "2026-01-01", "why": "approval",
    }  # fmt: skip
    assert found["decisions"][-1]["what"] == "Decide whether the project may leave pilot"
