"""A project file is read whole, or refused with place, reason and remedy of each fault."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import ProjectFileError
from airflow_ai_provider.core.lifecycle.nodes import MAX_CHARACTERS
from airflow_ai_provider.core.lifecycle.parsing import examine, parse_project, traps

SMALL = """\
name: shop
owner: ml
business_need: Too many parcels come back because the size was wrong.
expected_value: Fewer returns; how many fewer is not known yet.
objectives: [fewer returns]
kpis:
  - {name: hit_rate, kind: accuracy, target: 0.8}
  - {name: returns, kind: cost, target: 10 % fewer}
people:
  sponsor: anna
  ml_engineer: {user: ben, share: 0.5}
data_sources:
  - name: orders
    own: true
    owner: shop
    location: "{home}/orders.parquet"
    sensitivity: internal
use_cases:
  - name: sizes
    title: Which size fits?
    value: 4
    feasibility: 3
    data_source: orders
    pilot: true
    criteria:
      pilot: [{name: good, kind: threshold, metric: f1, min: 0.8}]
milestones:
  - {name: start, phase: pilot, owner: sponsor, estimate: {best: 1, likely: 2, worst: 3}}
  - {name: end, phase: production, owner: sponsor, after: [start]}
budget:
  pilot: {people_days: 3, gpu_hours: 0}
risks:
  - {name: season, likelihood: 2, impact: 2, owner: sponsor, mitigation: retrain}
retrain: {max_gap: 0.02, max_age_days: 60}
""".replace("target: 0.8", "target: '0.8'")

MORE = """\
compliance:
  privacy: {answer: none is used, owner: sponsor, date: 2026-01-15}
iterations:
  - {name: one, phase: pilot, start: 2026-01-05, end: 2026-01-16, goal: a model, milestones: [end]}
retrospectives:
  pilot: {date: 2026-02-01, went_well: all, went_badly: some, changes: none}
"""
VALID = yaml.safe_load(SMALL + MORE)
VALID["kpis"][1]["measure"] = {"query": {"sql": "SELECT 1", "conn_id": "db"}, "at_most": 0.5}
VALID["risks"][0]["trigger"] = {"kpi": "returns", "above": 0.7}
VALID["milestones"][1] |= {"people": {"sponsor": 0.5}, "coarse": True, "refines": "late"}
TEMPLATE = Path(__file__).parents[2] / "dags" / "projects" / "flight_delays.yaml"


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [p for key, inner in children for p in [(*at, key), *paths(inner, (*at, key))]]


PATHS = [path for path in paths(VALID) if "criteria" not in path[:-1] or "pilot" not in path[:-1]]


def changed(path: tuple[Any, ...], change: Any) -> str:
    """Return the file with ``change(parent, key)`` done at ``path``."""
    document = copy.deepcopy(VALID)
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    change(parent, path[-1])
    return yaml.safe_dump(document, sort_keys=False)


def problems_of(text: str) -> list[dict[str, Any]]:
    with pytest.raises(ProjectFileError) as caught:
        parse_project(text)
    errors = caught.value.facts["errors"]
    assert errors
    for error in errors:
        assert 1 <= error["line"] <= text.count("\n") + 1
        assert error["message"].endswith((".", "?"))
        assert error["remedy"]
    return list(errors)


def read_or_refused(text: str) -> None:
    """Any other exception, and any fault without a place, fails the test."""
    project, problems = examine(text)
    assert (project is None) == bool(problems)
    for problem in problems:
        assert 1 <= problem.line <= text.count("\n") + 2
        assert problem.message
        assert problem.remedy


@pytest.mark.parametrize(
    ("said", "field", "words"),
    [
        ("visible_to: [boss]", "visible_to[0]", "not 'boss'"),
        ('visible_to: [sponsor, "role: Op"]', "visible_to[1]", "not 'role: Op'"),
        ("visible_to: []", "visible_to", "at least 1"),
        ("visible_to: sponsor", "visible_to", "not 'sponsor'"),
        ("visible_to: [operations]", "visible_to[0]", "Nobody fills the role operations."),
    ],
)
def test_who_may_see_it_is_said_in_a_way_that_means_somebody(
    said: str, field: str, words: str
) -> None:
    [problem] = problems_of(f"{SMALL}{said}\n")
    assert problem["field"] == field
    assert words in problem["message"]
    assert problem["line"] == SMALL.count("\n") + 1


def test_who_may_see_it_is_read() -> None:
    said = "visible_to: [sponsor, user:ann@x.org, role:Op]\n"
    assert parse_project(SMALL + said).visible_to == ("sponsor", "user:ann@x.org", "role:Op")
    assert parse_project(SMALL).visible_to is None


def test_small_and_template_are_read() -> None:
    rich = parse_project(yaml.safe_dump(VALID, sort_keys=False))
    assert rich.iterations[0].end.isoformat() == "2026-01-16"
    assert rich.kpis[1].measure is not None
    assert parse_project(SMALL, places={"home": "/srv"}).source("orders").location == (
        "/srv/orders.parquet"
    )
    project = parse_project(TEMPLATE.read_text())
    assert [use_case.name for use_case in project.pilots] == ["flight_delays", "handwritten_digits"]
    assert traps(project, TEMPLATE.read_text()) == []


@settings(max_examples=25, deadline=None)
@given(path=st.sampled_from(PATHS), value=st.sampled_from([None, True, -1, 7.5, "", "x y", [], {}]))
def test_any_retyped_field_is_read_or_refused_with_its_place(path: Any, value: Any) -> None:
    read_or_refused(changed(path, lambda parent, key: parent.__setitem__(key, value)))


@settings(max_examples=15, deadline=None)
@given(path=st.sampled_from(PATHS))
def test_any_dropped_field_is_read_or_refused_with_its_place(path: Any) -> None:
    read_or_refused(changed(path, lambda parent, key: parent.pop(key)))


@settings(max_examples=15, deadline=None)
@given(
    at=st.integers(0, len(SMALL)),
    cut=st.integers(0, 30),
    put=st.text(alphabet="{}[]&*!|>%@`\"'#-:,?~ \n\tab0<é\0", max_size=8),
)
def test_any_damage_to_the_text_is_read_or_refused(at: int, cut: int, put: str) -> None:
    read_or_refused(SMALL[:at] + put + SMALL[at + cut :])


@pytest.mark.parametrize(
    "field",
    [
        "name",
        "owner",
        "business_need",
        "expected_value",
        "objectives",
        "kpis",
        "people",
        "data_sources",
        "use_cases",
    ],
)
def test_missing_field_is_named(field: str) -> None:
    (error,) = problems_of(changed((field,), lambda parent, key: parent.pop(key)))
    assert error["field"] == field
    assert "missing" in error["message"]


def test_unknown_field_names_the_nearest_and_its_own_line() -> None:
    text = SMALL.replace("feasibility: 3", "feasability: 3")
    missing, unknown = problems_of(text)
    assert unknown["remedy"] == "Did you mean feasibility?"
    assert text.splitlines()[unknown["line"] - 1].strip() == "feasability: 3"
    assert missing["field"] == "use_cases[0].feasibility"


@pytest.mark.parametrize(
    ("old", "new", "field", "says"),
    [
        ("value: 4", "value: many", "use_cases[0].value", "'many'"),
        ("value: 4", "value: 9", "use_cases[0].value", "less than or equal to 5"),
        ("sponsor: anna", "sponsor:", "people.sponsor", "empty"),
        ("sponsor: anna", "boss: anna", "people.boss", "no name boss"),
        ("data_source: orders", "data_source: order", "use_cases[0].data_source", "order"),
        ("after: [start]", "after: [begin]", "milestones[1].after[0]", "begin"),
        ("{best: 1,", "{best: 9,", "milestones[0].estimate", "backwards"),
        ("{name: end,", "{name: start,", "milestones[1].name", "twice"),
        ("risks:", "name: twice\nrisks:", "name", "twice"),
        ("{home}", "{hom}", "data_sources[0].location", "{hom}"),
        (
            "kind: cost, target: 10 % fewer}",
            "kind: cost, target: x, measure: {at_least: 1}}",
            "kpis[1].measure",
            "0 sources",
        ),
        (
            "kind: cost, target: 10 % fewer}",
            "kind: cost, target: x, measure: {query: {sql: SELECT 1}}}",
            "kpis[1].measure",
            "no bound",
        ),
        (
            "kind: cost, target: 10 % fewer}",
            "kind: cost, target: x, measure: {query: {sql: x}, at_least: 2, at_most: 1}}",
            "kpis[1].measure",
            "contradict",
        ),
        (
            "mitigation: retrain",
            "mitigation: x, trigger: {kpi: a, above: 1}",
            "risks[0].trigger.kpi",
            "KPI a",
        ),
        (
            "mitigation: retrain",
            "mitigation: x, trigger: {kpi: a}",
            "risks[0].trigger",
            "one limit",
        ),
        (
            "retrain: {",
            "compliance: {privacy: {answer: x, owner: operations, date: 2026-01-01}}\nretrain: {",
            "compliance.privacy.owner",
            "Nobody",
        ),
        (
            "retrain: {",
            "compliance: {luck: {answer: x, owner: sponsor, date: 2026-01-01}}\nretrain: {",
            "compliance.luck",
            "no name luck",
        ),
        (
            "retrain: {",
            "iterations: [{name: a, phase: pilot, start: 2026-02-02, end: 2026-02-01, goal: x}]\n"
            "retrain: {",
            "iterations[0].end",
            "before it begins",
        ),
        (
            "after: [start]}",
            "people: {operations: 0.5}}",
            "milestones[1].people.operations",
            "Nobody",
        ),
        (
            "    pilot: true\n",
            "    pilot: true\n    needs: [torch]\n",
            "use_cases[0].needs[0]",
            "torch",
        ),
        ("    own: true\n", "    own: true\n    conn_id: db\n", "data_sources[0]", "lies"),
        ("max_age_days: 60", "max_age_days: .inf", "retrain.max_age_days", "integer"),
        ("owner: shop", "owner: !!python/object:os.system x", "data_sources[0].owner", "read"),
        ("own: true", "own: 2013-99-99", "data_sources[0].own", "read"),
        ("    pilot: true\n    criteria:\n", "    pilot: true\n    x:\n", "use_cases[0].x", "x"),
    ],
)
def test_each_fault_says_where_and_what(old: str, new: str, field: str, says: str) -> None:
    assert old in SMALL
    errors = problems_of(SMALL.replace(old, new, 1))
    found = [error for error in errors if error["field"] == field]
    assert found, errors
    assert says in found[0]["message"]


def test_owner_without_a_person_is_refused() -> None:
    errors = problems_of(
        SMALL.replace("phase: pilot, owner: sponsor", "phase: pilot, owner: operations")
    )
    assert errors[0]["field"] == "milestones[0].owner"


def test_more_approvals_than_people_are_refused() -> None:
    two = "approvers: [sponsor, ml_engineer]\napprovals_needed: 2\n"
    assert parse_project(SMALL + two).approving_users == ("anna", "ben")
    (error,) = problems_of(SMALL.replace("owner: ml\n", "owner: ben\n") + two)
    assert error["field"] == "approvals_needed"
    assert "2 people must approve, and 1 may: anna" in error["message"]
    (error,) = problems_of(SMALL + "approvals_needed: 2\n")
    assert "anna" in error["message"]


def test_pilot_without_criteria_is_refused() -> None:
    text = SMALL.replace(
        "    criteria:\n      pilot: [{name: good, kind: threshold, metric: f1, min: 0.8}]\n",
        "",
    )
    (error,) = problems_of(text)
    assert error["field"] == "use_cases[0]"


def test_milestones_that_wait_for_each_other_are_named() -> None:
    text = SMALL.replace(
        "phase: pilot, owner: sponsor", "phase: pilot, owner: sponsor, after: [end]"
    )
    (error,) = problems_of(text)
    assert "start, end" in error["message"]


BOMB = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]"]
    + [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefg", "bcdefgh", strict=True)]
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no fields"),
        ("- a\n- b", "no fields"),
        ("just a word", "no fields"),
        ("name: [", "no valid YAML"),
        ("name: a\n---\nname: b", "no valid YAML"),
        ("name: \x00", "no valid YAML"),
        ("name: 1\nname: 2", "twice"),
        ("\tname: x", "no valid YAML"),
        ("a: " + "[" * 3000, "nested"),
        ("a: " + "[" * 60 + "]" * 60, "nested"),
        ("a: &a [*a]", "in itself"),
        (BOMB, "values once its aliases"),
        ("name: " + "x" * MAX_CHARACTERS, "characters"),
        ("? [a, b]\n: c", "one plain word"),
        ("<<: {name: x}", "one plain word"),
    ],
)
def test_what_is_no_project_file_is_refused(text: str, says: str) -> None:
    (error,) = problems_of(text)
    assert says in error["message"]


def test_traps_of_the_plan_are_shown_with_their_line() -> None:
    text = SMALL.replace("kind: cost", "kind: accuracy")
    project, problems = examine(text)
    assert project is not None
    assert problems == []
    found = {problem.field: problem for problem in traps(project, text)}
    assert found["kpis"].line == 6
    assert set(found) == {"business_need", "kpis", "budget", "people", "use_cases"}
