"""Each trap: a project that falls into it and is told so in one sentence, and one that does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.core.gate import Criterion, Verdict
from airflow_ai_provider.core.lifecycle import criteria as traps
from airflow_ai_provider.core.lifecycle.criteria import Findings, PilotResult
from airflow_ai_provider.core.lifecycle.milestones import MILESTONES
from airflow_ai_provider.core.lifecycle.parsing import parse_project
from airflow_ai_provider.core.lifecycle.phases import decide
from airflow_ai_provider.core.lifecycle.project import Budget, Person, Project

TEMPLATE = Path(__file__).parents[2] / "dags" / "projects" / "flight_delays.yaml"
GOOD = parse_project(TEMPLATE.read_text())
FLIGHTS = PilotResult(model_name="flight_delays", gate="a", verdict="pass", own_data=True)
DIGITS = PilotResult(model_name="handwritten_digits", gate="b", verdict="pass", own_data=False)
FOUND = Findings(
    milestones_done=frozenset(m.name for m in MILESTONES),
    models_in_repository=(),
    pilots={"flight_delays": FLIGHTS, "handwritten_digits": DIGITS},
    approved_by="sponsor",
    feedback={"flight_delays": 3},
    live_models=("flight_delays",),
)


def but(**changes: Any) -> Project:
    return GOOD.model_copy(update=changes)


def people(**changes: Person | None) -> Project:
    found = {**GOOD.people, **changes}
    return but(people={role: person for role, person in found.items() if person})


def found(**changes: Any) -> Findings:
    return Findings(**{**FOUND.__dict__, **changes})


def own_data(project: Project, findings: Findings) -> Criterion:
    return traps.own_data_results(project, "flight_delays", findings)


def gate(project: Project, findings: Findings) -> Criterion:
    return traps.model_gate("flight_delays", findings)


def alone(criterion: Callable[[Project], Criterion]) -> Callable[[Project, Findings], Criterion]:
    return lambda project, _findings: criterion(project)


def in_git(_project: Project, findings: Findings) -> Criterion:
    return traps.models_not_in_git(findings)


PUBLIC = tuple(source.model_copy(update={"own": False}) for source in GOOD.data_sources)
ACCURATE = tuple(kpi.model_copy(update={"kind": "accuracy"}) for kpi in GOOD.kpis)
ONE_PILOT = tuple(
    use_case.model_copy(update={"pilot": use_case.name == "flight_delays"})
    for use_case in GOOD.use_cases
)
NOBODY = Budget(people_days=0, gpu_hours=0)

TRAPS: list[tuple[str, Any, Project, Findings]] = [
    ("business_need", alone(traps.business_need), but(business_need="AI is the future"), FOUND),
    ("business_need", alone(traps.business_need), but(expected_value="a lot"), FOUND),
    ("kpis_beyond_accuracy", alone(traps.kpis_beyond_accuracy), but(kpis=ACCURATE), FOUND),
    ("minimum_resources", alone(traps.minimum_resources), but(budget={}), FOUND),
    (
        "minimum_resources",
        alone(traps.minimum_resources),
        but(budget={**GOOD.budget, "pilot": NOBODY}),
        FOUND,
    ),
    ("right_people_first", alone(traps.right_people_first), people(ml_engineer=None), FOUND),
    (
        "right_people_first",
        alone(traps.right_people_first),
        people(data_scientist=Person(user="ml", share=0.5)),
        FOUND,
    ),
    (
        "right_people_first",
        alone(traps.right_people_first),
        people(data_scientist=Person(user="eve", share=None)),
        FOUND,
    ),
    ("pilots", alone(traps.pilots), but(use_cases=ONE_PILOT), FOUND),
    ("milestones", traps.milestones, GOOD, found(milestones_done=frozenset({"kick_off"}))),
    ("milestones", traps.milestones, GOOD, found(milestones_done=None)),
    ("model_gate", gate, GOOD, found(pilots={})),
    ("own_data_results", own_data, but(data_sources=PUBLIC), FOUND),
    ("own_data_results", own_data, GOOD, found(pilots={})),
    ("own_data_results", own_data, GOOD, found(pilots={"flight_delays": DIGITS})),
    ("approval", traps.approval, GOOD, found(approved_by=None)),
    ("approval", traps.approval, GOOD, found(approved_by="viewer")),
    ("approval", traps.approval, but(owner="sponsor"), FOUND),
    ("operations_owner", alone(traps.operations_owner), people(operations=None), FOUND),
    (
        "models_not_in_git",
        in_git,
        GOOD,
        found(models_in_repository=["m.pkl"]),
    ),
    ("models_not_in_git", in_git, GOOD, found(models_in_repository=None)),
    ("feedback_loop", traps.feedback_loop, GOOD, found(feedback={"flight_delays": 0})),
    ("feedback_loop", traps.feedback_loop, GOOD, found(feedback=None)),
    ("feedback_loop", traps.feedback_loop, GOOD, found(live_models=())),
    ("live_model_limit", traps.live_model_limit, GOOD, found(live_models=("a", "b"))),
    ("live_model_limit", traps.live_model_limit, GOOD, found(live_models=None)),
]


@pytest.mark.parametrize(("name", "criterion", "project", "findings"), TRAPS)
def test_trap_is_found_and_told_in_one_sentence(
    name: str, criterion: Any, project: Project, findings: Findings
) -> None:
    result = criterion(project, findings)
    assert (result.name, result.verdict) == (name, Verdict.FAIL)
    assert result.sentence.endswith(".")
    assert "\n" not in result.sentence
    assert result.limit is not None


@pytest.mark.parametrize("criterion", {name: c for name, c, _, _ in TRAPS}.values())
def test_good_project_falls_into_none(criterion: Any) -> None:
    assert criterion(GOOD, FOUND).verdict is Verdict.PASS


def test_discovery_passes_and_admits_the_pilots_in_order() -> None:
    decision = decide(GOOD, "discovery", FOUND)
    assert decision.verdict is Verdict.PASS
    assert decision.admitted == ("flight_delays", "handwritten_digits")


def test_public_pilot_stays_while_the_other_goes_on() -> None:
    decision = decide(GOOD, "pilot", FOUND)
    assert decision.verdict is Verdict.PASS
    assert decision.admitted == ("flight_delays",)
    refused = [c.name for c in decision.by_pilot["handwritten_digits"] if not c.verdict.lets_pass]
    assert refused == ["own_data_results"]


def test_without_approval_nobody_is_admitted() -> None:
    decision = decide(GOOD, "pilot", found(approved_by=None))
    assert decision.verdict is Verdict.FAIL
    assert decision.admitted == ()
    assert [c.name for c in decision.failed] == ["approval"]


def test_no_pilot_admitted_refuses_the_phase() -> None:
    decision = decide(GOOD, "pilot", found(pilots={}))
    assert [c.name for c in decision.failed] == ["admitted_pilots"]


def test_production_asks_for_feedback_and_the_limit() -> None:
    assert decide(GOOD, "production", FOUND).admitted == ("flight_delays",)
    silent = decide(GOOD, "production", found(feedback={}, live_models=("flight_delays", "b")))
    assert [c.name for c in silent.failed] == ["feedback_loop", "live_model_limit"]
    assert silent.admitted == ()


def test_no_user_name_stands_in_what_is_kept_for_ever() -> None:
    over = people(
        data_scientist=Person(user="zoe", share=0.9), operations=Person(user="zoe", share=0.9)
    )
    for project in (GOOD, over):
        for phase in ("discovery", "pilot", "production"):
            for criterion in decide(project, phase, found(approved_by="zoe")).criteria:
                assert "zoe" not in f"{criterion.sentence} {criterion.observed}"
