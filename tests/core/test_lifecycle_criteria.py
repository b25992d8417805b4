"""Each trap: a project that falls into it and is told so in one sentence, and one that does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.core.gate import Criterion, Verdict
from airflow_ai_provider.core.lifecycle import criteria as traps
from airflow_ai_provider.core.lifecycle import on_found
from airflow_ai_provider.core.lifecycle.code import CodeFound, Copy
from airflow_ai_provider.core.lifecycle.found import Findings, PilotResult
from airflow_ai_provider.core.lifecycle.milestones import MILESTONES
from airflow_ai_provider.core.lifecycle.parsing import parse_project
from airflow_ai_provider.core.lifecycle.phases import decide
from airflow_ai_provider.core.lifecycle.project import Budget, Person, Project

TEMPLATE = Path(__file__).parents[2] / "dags" / "projects" / "flight_delays.yaml"
GOOD = parse_project(TEMPLATE.read_text())
FLIGHTS = PilotResult(
    model_name="flight_delays",
    gate="a",
    verdict="pass",
    own_data=True,
    bounds={"ranks_better_than_baseline": 0.05},
    lacking=(),
)
DIGITS = PilotResult(
    model_name="handwritten_digits", gate="b", verdict="pass", own_data=False, lacking=()
)
CODE = CodeFound(dags=("pilot.py",))
FOUND = Findings(
    milestones_done=frozenset(m.name for m in MILESTONES),
    models_in_repository=(),
    code=CODE,
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
    return on_found.own_data_results(project, "flight_delays", findings)


def gate(project: Project, findings: Findings) -> Criterion:
    return on_found.model_gate("flight_delays", findings)


def alone(criterion: Callable[[Project], Criterion]) -> Callable[[Project, Findings], Criterion]:
    return lambda project, _findings: criterion(project)


def in_git(_project: Project, findings: Findings) -> Criterion:
    return on_found.models_not_in_git(findings)


def product(_project: Project, findings: Findings) -> Criterion:
    return on_found.product_approach(findings)


def logistics(_project: Project, findings: Findings) -> Criterion:
    return on_found.model_logistics("flight_delays", findings)


def loop(_project: Project, findings: Findings) -> Criterion:
    return on_found.feedback_loop(findings)


def flights(**changes: Any) -> Findings:
    return found(pilots={"flight_delays": replace(FLIGHTS, **changes)})


def milestones(**people: float) -> tuple[Any, ...]:
    """The plan with two milestones side by side, each of which takes ``people``."""
    both = [m for m in GOOD.milestones if m.name in {"discovery", "first_release"}]
    return tuple(m.model_copy(update={"after": (), "people": people}) for m in both)


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
    (
        "right_people_first",
        alone(traps.right_people_first),
        but(milestones=milestones(ml_engineer=0.7)),
        FOUND,
    ),
    ("compliance", alone(traps.compliance), but(compliance={}), FOUND),
    ("product_approach", product, GOOD, found(code=None)),
    ("product_approach", product, GOOD, found(code=CodeFound(dags=()))),
    ("product_approach", product, GOOD, found(code=CodeFound(dags=("a.py",), alone=("a.py",)))),
    (
        "product_approach",
        product,
        GOOD,
        found(code=CodeFound(dags=("a.py",), copies=(Copy(places=("a.py:load", "b.py:read")),))),
    ),
    (
        "product_approach",
        product,
        GOOD,
        found(code=CodeFound(dags=("a.py",), unreadable=("b.py",))),
    ),
    ("model_logistics", logistics, GOOD, found(pilots={})),
    ("model_logistics", logistics, GOOD, flights(lacking=None)),
    ("model_logistics", logistics, GOOD, flights(lacking=("signature", "card"))),
    ("own_data_results", own_data, GOOD, flights(bounds={})),
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
    ("feedback_loop", loop, GOOD, found(feedback={"flight_delays": 0})),
    ("feedback_loop", loop, GOOD, found(feedback=None)),
    ("feedback_loop", loop, GOOD, found(live_models=())),
    ("live_model_limit", on_found.live_model_limit, GOOD, found(live_models=("a", "b"))),
    ("live_model_limit", on_found.live_model_limit, GOOD, found(live_models=None)),
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


def test_more_models_may_be_live_while_feedback_keeps_up() -> None:
    two = {"live_models": ("a", "b"), "feedback": {"a": 9, "b": 9}}
    for coverage, good in (({"a": 0.9, "b": 0.8}, True), ({"a": 0.9, "b": 0.7}, False)):
        decision = decide(GOOD, "production", found(**two, coverage=coverage))
        assert decision.verdict.lets_pass is good
    assert "feedback on b" in decision.failed[0].sentence


def test_people_may_work_one_milestone_after_the_other() -> None:
    after = [m.model_copy(update={"people": {"ml_engineer": 0.6}}) for m in GOOD.milestones]
    assert traps.right_people_first(but(milestones=tuple(after))).verdict is Verdict.PASS


def test_overridden_criteria_let_the_phase_pass_and_stay_seen() -> None:
    refused = found(models_in_repository=["m.pkl"])
    decision = decide(GOOD, "pilot", refused, {"": ["models_not_in_git"]})
    assert decision.verdict is Verdict.OVERRIDE
    assert decision.admitted == ("flight_delays",)
    marked = [c for c in decision.criteria if c.verdict is Verdict.OVERRIDE]
    assert [c.name for c in marked] == ["models_not_in_git"]
    assert decide(GOOD, "pilot", refused, {"": ["compliance"]}).verdict is Verdict.FAIL


def test_overridden_pilot_goes_on_with_its_phase() -> None:
    over = {"handwritten_digits": ["own_data_results"]}
    decision = decide(GOOD, "pilot", FOUND, over)
    assert decision.verdict is Verdict.OVERRIDE
    assert decision.admitted == ("flight_delays", "handwritten_digits")


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
