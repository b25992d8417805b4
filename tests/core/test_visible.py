"""Who may see a project and its models."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.lifecycle.visible import (
    EVERYTHING,
    Sight,
    Viewer,
    admits,
    readers,
    rule_of,
    sight,
    with_past,
)

PEOPLE = {"sponsor": "anna", "operations": "olaf"}
NAMES = ["anna", "olaf", "eve", "sponsor"]
ROLES = ["Viewer", "op", "sponsor", "anna"]
ENTRIES = ["sponsor", "operations", "ml_engineer", "user:anna", "user:eve", "role:OP", "role:Admin"]
viewers = st.builds(
    Viewer, users=st.frozensets(st.sampled_from(NAMES)), roles=st.frozensets(st.sampled_from(ROLES))
)
entries = st.one_of(st.none(), st.lists(st.sampled_from(ENTRIES), max_size=3))
projects = st.sampled_from(["flights", "sheets", "mergers"])
models = st.sampled_from(["delays", "digits", "bids"])
plans = st.builds(
    lambda seen, uses, data: {
        "visible_to": seen,
        "people": {role: {"user": user} for role, user in PEOPLE.items()},
        "use_cases": [{"name": name, "visible_to": who} for name, who in uses],
        "data_sources": [{"name": name} for name in data],
    },
    entries,
    st.lists(st.tuples(models, entries), unique_by=lambda use: use[0], max_size=3),
    st.lists(st.sampled_from(["a", "b"]), max_size=2),
)
stores = st.dictionaries(projects, plans, max_size=3)


def look(store: dict[str, Any], viewer: Viewer) -> Sight:
    return sight([rule_of(name, plan) for name, plan in store.items()], viewer)


@pytest.mark.parametrize(
    ("visible_to", "viewer", "seen"),
    [
        (None, Viewer(), True),
        (["sponsor"], Viewer(users=frozenset({"anna"})), True),
        (["sponsor"], Viewer(users=frozenset({"eve"})), False),
        # neither a user nor an Airflow role of that name is the project's sponsor
        (["sponsor"], Viewer(users=frozenset({"sponsor"}), roles=frozenset({"sponsor"})), False),
        (["ml_engineer"], Viewer(users=frozenset({"None"})), False),
        (["user:anna"], Viewer(roles=frozenset({"anna"})), False),
        (["user:anna"], Viewer(users=frozenset({"Anna"})), False),
        (["role:op"], Viewer(users=frozenset({"op"})), False),
        (["role:Op"], Viewer(roles=frozenset({"OP"})), True),
        (["role:Op"], Viewer(roles=frozenset({"Admin"})), False),
        (["who:anna"], Viewer(users=frozenset({"anna", "who:anna"})), False),
        ([], Viewer(users=frozenset({"anna"}), roles=frozenset({"Admin"})), False),
    ],
)
def test_only_who_is_named_is_admitted(
    visible_to: list[str] | None, viewer: Viewer, seen: bool
) -> None:
    assert admits(visible_to, PEOPLE, viewer) is seen


@given(stores, viewers)
def test_what_is_seen_is_what_the_plans_say(store: dict[str, Any], viewer: Viewer) -> None:
    found = look(store, viewer)
    for name, plan in store.items():
        assert found.shows_project(name) is admits(plan["visible_to"], PEOPLE, viewer)
        for model in plan["use_cases"]:
            if found.shows_model(model["name"]):  # then its project is, and it names the viewer
                assert found.shows_project(name)
                assert admits(model["visible_to"], PEOPLE, viewer)
    for data in found.data:
        naming = [n for n, p in store.items() if {"name": data} in p["data_sources"]]
        assert naming
        assert not any(found.shows_project(name) for name in naming)


@given(stores, viewers, projects, plans)
def test_another_project_opens_no_model(
    store: dict[str, Any], viewer: Viewer, name: str, plan: dict[str, Any]
) -> None:
    if name not in store:
        assert look(store, viewer).models <= look({**store, name: plan}, viewer).models


@given(stores, viewers, viewers)
def test_more_names_see_more(store: dict[str, Any], one: Viewer, other: Viewer) -> None:
    both = Viewer(users=one.users | other.users, roles=one.roles | other.roles)
    seen, alone = look(store, both), look(store, one)
    assert seen.projects <= alone.projects
    assert seen.models <= alone.models
    together = alone | look(store, other)
    assert together.projects >= alone.projects | look(store, other).projects


@given(stores, viewers)
def test_subjects_of_what_is_hidden_are_hidden(store: dict[str, Any], viewer: Viewer) -> None:
    found = look(store, viewer)
    for name in found.projects:
        for subject in (f"project://{name}", f"project://{name}/pilot", f"ai-project://{name}/p"):
            assert not found.shows_subject(subject)
    for name in found.models:
        for subject in (f"mlflow://{name}/7", f"mlflow://{name}@production", f"ai-feedback://{name}",
                        f"project://open/pilot/{name}"):  # fmt: skip
            assert not found.shows_subject(subject)
    for name in found.data:
        assert not found.shows_subject(f"ai-data://{name}/2013-01")
    for subject in ("project://else", "mlflow://else/1", "ai-data://else", "file:///x"):
        assert found.shows_subject(subject)
    for beginning in found.hidden_subjects():
        assert not found.shows_subject(beginning)


WORDS = st.sampled_from(["mergers", "bids", "the bids are in", "model bids/7", "forbids", "2", ""])
values = st.recursive(
    st.one_of(WORDS, st.integers(), st.none(), st.booleans()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(WORDS, st.text()), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(values)
def test_no_hidden_name_is_left(value: Any) -> None:
    cut = Sight(projects=frozenset({"mergers"}), models=frozenset({"bids"})).cut(value)
    left = json.dumps(cut).replace("forbids", "")
    assert "mergers" not in left
    assert "bids" not in left
    assert EVERYTHING.cut(value) is value
    json.loads(json.dumps(cut))


def test_what_else_is_said_stays() -> None:
    found = Sight(models=frozenset({"bids"}))
    said = {"models": ["bids", "digits"], "why": "bids are late", "of": {"bids": 1, "digits": 2}}
    assert found.cut(said) == {"models": ["digits"], "of": {"digits": 2}}
    criteria = [{"name": "a", "sentence": "bids: 0.7"}, {"name": "b", "sentence": "forbidscore"}]
    assert found.cut(criteria) == criteria[1:]


@given(plans, st.lists(plans, max_size=3), viewers)
def test_a_later_plan_shows_nothing_by_not_naming_it(
    newest: dict[str, Any], earlier: list[dict[str, Any]], viewer: Viewer
) -> None:
    rule = rule_of("flights", newest)
    whole = sight([with_past(rule, [newest, *earlier])], viewer)
    if not admits(rule.visible_to, PEOPLE, viewer):
        for plan in earlier:
            assert {use["name"] for use in plan["use_cases"]} <= whole.models
            assert {source["name"] for source in plan["data_sources"]} <= whole.data
    for use in newest["use_cases"]:  # what the newest plan says of a model counts
        assert whole.shows_model(use["name"]) is sight([rule], viewer).shows_model(use["name"])


@pytest.mark.parametrize(
    "plan",
    [
        {"visible_to": "sponsor"},
        {"visible_to": {"sponsor": True}},
        {"visible_to": [], "people": None},
        {"visible_to": ["sponsor"], "people": {"sponsor": "anna"}},
        {"visible_to": [{"user": "anna"}], "people": {"sponsor": {"user": ""}}},
    ],
)
def test_a_plan_that_cannot_be_understood_names_nobody(plan: dict[str, Any]) -> None:
    viewer = Viewer(users=frozenset({"anna", "", "None"}), roles=frozenset({"Admin"}))
    assert not look({"flights": plan}, viewer).shows_project("flights")


@given(entries, viewers)
def test_a_report_for_the_named_is_for_nobody_else(named: list[str] | None, viewer: Viewer) -> None:
    """What each reader may see alone; and those whom a list names are admitted by it."""
    for reader in readers(named, PEOPLE):
        assert len(reader.users) + len(reader.roles) <= 1
        known = named and set(named) - {"ml_engineer"}  # a role that nobody fills reads as nobody
        if known and (reader.users or reader.roles):
            assert admits(named, PEOPLE, reader)
    assert readers(None, PEOPLE) == (Viewer(),)
    assert readers(["ml_engineer"], PEOPLE) == (Viewer(),)
