"""The six milestones: what each asks and measures, and when it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import LifecycleError
from airflow_ai_provider.core.lifecycle.delivered import assess
from airflow_ai_provider.core.lifecycle.milestones import MILESTONES, DeliverableKind, milestone
from airflow_ai_provider.core.lifecycle.parsing import parse_project
from airflow_ai_provider.core.lifecycle.project import ROLES, Governance, Skills, Strategy
from airflow_ai_provider.core.lifecycle.shown import shown_measurement

TEMPLATE = Path(__file__).parents[2] / "dags" / "projects" / "flight_delays.yaml"
PROJECT = parse_project(TEMPLATE.read_text())
BARE = PROJECT.model_copy(
    update={"governance": Governance(), "skills": Skills(), "strategy": Strategy(), "panels": ()}
)


def test_six_milestones_in_an_order_that_can_be_walked() -> None:
    seen: set[str] = set()
    for definition in MILESTONES:
        assert set(definition.after) <= seen
        assert definition.role in ROLES
        assert definition.asked
        seen.add(definition.name)
    assert len(seen) == 6


def test_every_question_has_a_proposal_in_the_template() -> None:
    for definition in MILESTONES:
        for deliverable in definition.asked:
            assert deliverable.question.endswith("?")
            assert deliverable.propose(PROJECT), deliverable.name


def test_empty_answers_take_the_file_s() -> None:
    delivered = assess(milestone("skills_landscape"), PROJECT, measured=None, answers={})
    assert delivered.missing == ()
    assert delivered.answered["skills_held"].startswith("- Airflow")


def test_an_answer_wins_over_the_file() -> None:
    answers = {"training_needs": " none this year "}
    delivered = assess(milestone("skills_landscape"), PROJECT, measured=None, answers=answers)
    assert delivered.answered["training_needs"] == "none this year"


@pytest.mark.parametrize("value", [None, "", " ", "x", 7, ["a", "b"]])
def test_where_neither_says_anything_it_is_missing(value: Any) -> None:
    answers = {"training_needs": value, "hiring_needs": "nobody", "skills_held": "SQL"}
    delivered = assess(milestone("skills_landscape"), BARE, measured=None, answers=answers)
    (missing,) = delivered.missing
    assert (missing.deliverable, missing.kind) == ("training_needs", DeliverableKind.ASKED)


@pytest.mark.parametrize("value", [None, {}, {"problems": ["no file"]}])
def test_what_was_not_measured_is_missing(value: Any) -> None:
    measured = {"gap_analysis": value, "ai_infrastructure": {"cpus": 2}}
    delivered = assess(milestone("process_and_technology"), PROJECT, measured=measured, answers={})
    (missing,) = delivered.missing
    assert (missing.deliverable, missing.kind) == ("gap_analysis", DeliverableKind.MEASURED)


def test_measured_and_answered_are_both_needed() -> None:
    delivered = assess(
        milestone("ai_strategy"), BARE, measured={"platform_architecture": {"a": 1}}, answers={}
    )
    assert "platform_architecture" in delivered.measured
    assert {m.deliverable for m in delivered.missing} == {
        "adoption_strategy",
        "platform_architecture",
        "growth_strategy",
    }


def test_unknown_milestone_is_named() -> None:
    with pytest.raises(LifecycleError, match="kick_off"):
        milestone("kickoff")


TEXT = st.text(alphabet="ab|`*<\n ", max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.sampled_from(["gap_analysis", "ai_infrastructure"]), VALUES))
def test_anything_measured_can_be_shown(measured: dict[str, Any]) -> None:
    assert "**Gap" in shown_measurement(milestone("process_and_technology"), measured)


def test_shown_text_cannot_break_out() -> None:
    hostile = {"gap_analysis": {"tools": [{"name": "a|b\n<script>`*"}]}}
    shown = shown_measurement(milestone("process_and_technology"), hostile)
    assert "| a\\|b \\<script\\>\\`\\* |" in shown
