"""A plan may be refined and may change its mind; it may not forget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.lifecycle.milestones import milestone
from airflow_ai_provider.core.lifecycle.parsing import parse_project
from airflow_ai_provider.core.lifecycle.project import Milestone, Project
from airflow_ai_provider.core.lifecycle.refining import refinement
from airflow_ai_provider.core.lifecycle.retrospectives import RETROSPECTIVES

GOOD = parse_project(
    (Path(__file__).parents[2] / "dags" / "projects" / "flight_delays.yaml").read_text()
)


def stone(name: str, **said: Any) -> Milestone:
    return Milestone(name=name, phase=said.pop("phase", "production"), owner="sponsor", **said)


def plan(*milestones: Milestone) -> Project:
    return GOOD.model_copy(update={"milestones": milestones})


def stored(project: Project) -> dict[str, Any]:
    return project.model_dump(mode="json")


def forgotten(before: Project, after: Project, phase: str = "pilot") -> tuple[str, ...]:
    return refinement(stored(before), after, phase=phase).forgotten


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (stone("a"), stone("b"), "a is gone"),
        (stone("a", coarse=True), stone("b"), "a is gone"),
        (stone("a"), stone("b", refines="a"), "planned in detail"),
        (stone("a", coarse=True, phase="discovery"), stone("b", refines="a"), "has passed"),
    ],
)
def test_forgotten_milestone_is_named(before: Milestone, after: Milestone, says: str) -> None:
    (told,) = forgotten(plan(before), plan(after))
    assert says in told


def test_coarse_milestone_is_refined_by_others() -> None:
    before, after = plan(stone("a", coarse=True)), plan(stone("b", refines="a"), stone("c"))
    found = refinement(stored(before), after, phase="pilot")
    assert found.forgotten == ()
    assert [(c.field, c.what) for c in found.changes] == [
        ("milestones.a", "removed"),
        ("milestones.b", "added"),
        ("milestones.c", "added"),
    ]
    assert forgotten(after, after) == ()  # what was refined once is no more asked for


def test_milestone_that_never_was_cannot_be_refined() -> None:
    (told,) = forgotten(plan(stone("a")), plan(stone("a"), stone("b", refines="z")))
    assert "no milestone z" in told


STONES = st.lists(
    st.builds(stone, st.sampled_from("abcdef"), coarse=st.booleans()),
    max_size=5,
    unique_by=lambda m: m.name,
)


@settings(max_examples=60, deadline=None)
@given(before=STONES, after=STONES)
def test_what_is_accepted_has_every_milestone_of_before(before: Any, after: Any) -> None:
    names = {m.name for m in after}
    lost = {m.name for m in before} - names
    assert bool(forgotten(plan(*before), plan(*after))) is bool(lost)


@given(after=STONES)
@settings(max_examples=20, deadline=None)
def test_same_plan_changes_nothing(after: Any) -> None:
    found = refinement(stored(plan(*after)), plan(*after), phase="discovery")
    assert (found.changes, found.forgotten) == ((), ())


def test_stored_plan_of_an_older_version_lacks_fields_and_still_compares() -> None:
    old = stored(GOOD)
    for field in ("compliance", "iterations", "override_role", "feedback_keeps_up"):
        del old[field]
    for kpi in old["kpis"]:
        del kpi["measure"]
    found = refinement(old, GOOD, phase="pilot")
    assert found.forgotten == ()
    assert "compliance.privacy" in {change.field for change in found.changes}


def test_each_phase_has_a_retrospective_with_a_form() -> None:
    assert [r.phase for r in RETROSPECTIVES] == ["discovery", "pilot", "production", "maintenance"]
    found = milestone("pilot_retrospective")
    assert [d.name for d in found.asked] == ["went_well", "went_badly", "changes"]
    assert all(d.propose(GOOD) is None for d in found.asked)
