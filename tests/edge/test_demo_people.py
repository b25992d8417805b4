"""What the demo's people type fits the form, and they answer neither too soon nor for others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import DemoError
from airflow_ai_provider.demo.form import TYPED, choose, fill
from airflow_ai_provider.demo.people import People

KINDS = st.sampled_from(["string", "integer", "number", "boolean"])


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(KINDS)
    schema: dict[str, Any] = {"type": draw(st.sampled_from([kind, [kind, "null"], ["null", kind]]))}
    if kind == "string":
        low = draw(st.integers(0, 40))
        schema |= {"minLength": low, "maxLength": low + draw(st.integers(1, 30))}
    if kind in {"integer", "number"}:
        low = draw(st.integers(-5, 5))
        schema |= {"minimum": low, "maximum": low + draw(st.integers(0, 9))}
    if draw(st.booleans()):
        return {
            "type": "array",
            "items": schema | {"type": kind},
            "minItems": draw(st.integers(0, 3)),
        }
    return schema


def field(schema: Mapping[str, Any], value: Any = None) -> dict[str, Any]:
    return {"value": value, "description": None, "schema": dict(schema)}


@given(schemas())
def test_what_is_typed_fits_the_schema(schema: dict[str, Any]) -> None:
    typed = fill({"field": field(schema)})["field"]
    jsonschema.validate(typed, schema)
    assert typed is not None


@given(st.lists(st.sampled_from(["a", "b", 3]), min_size=1))
def test_an_offer_is_taken(offers: list[Any]) -> None:
    assert fill({"field": field({"enum": offers})})["field"] == offers[0]


def test_proposal_is_kept_and_false_is_one() -> None:
    form = {"a": field({"type": "string"}, "as proposed"), "b": field({"type": "boolean"}, False)}
    assert fill(form) == {"a": "as proposed", "b": False}


def test_empty_field_says_who_typed() -> None:
    assert fill({"a": field({"type": ["null", "string"]})}) == {"a": TYPED}


def test_choice_is_to_approve_else_what_is_proposed_else_the_first() -> None:
    assert choose(["Reject", "Approve"], ["Reject"]) == ["Approve"]
    assert choose(["a", "b"], ["b"]) == ["b"]
    assert choose(["a", "b"], None) == ["a"]


class FakeRest:
    def __init__(self, waiting: list[dict[str, Any]], *, faster: bool = False) -> None:
        self.waiting = waiting
        self.faster = faster
        self.answered: list[tuple[str, list[str]]] = []

    def pending(self) -> list[dict[str, Any]]:
        return self.waiting

    def answer(
        self, task: Mapping[str, Any], options: list[str], values: Mapping[str, Any]
    ) -> bool:
        self.answered.append((task["task_id"], options))
        return not self.faster


def waiting(task_id: str, *assigned: str, state: str = "awaiting_input") -> dict[str, Any]:
    return {
        "task_instance": {
            "id": f"id-{task_id}",
            "dag_id": "discovery",
            "dag_run_id": "run",
            "task_id": task_id,
            "map_index": -1,
            "state": state,
        },
        "options": ["OK"],
        "defaults": None,
        "params": {},
        "assigned_users": [{"id": name, "name": name.title()} for name in assigned],
    }


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def people(*details: dict[str, Any], faster: bool = False) -> tuple[People, FakeRest, Clock]:
    rest, clock = FakeRest(list(details), faster=faster), Clock()
    clients: Any = {"ml": rest, "sponsor": rest, "viewer": None}
    return People(clients, clock), rest, clock


def test_nobody_answers_before_the_task_has_parked_for_a_while() -> None:
    everybody, rest, clock = people(waiting("form", "ml"))
    assert everybody.answer_what_waits() == []
    clock.now += 2.4
    assert everybody.answer_what_waits() == []
    clock.now += 0.2
    assert [answer.task_id for answer in everybody.answer_what_waits()] == ["form"]
    clock.now += 10
    assert everybody.answer_what_waits() == []
    assert rest.answered == [("form", ["OK"])]


def test_task_that_has_not_parked_yet_is_left_alone() -> None:
    everybody, rest, clock = people(waiting("form", "ml", state="running"))
    everybody.answer_what_waits()
    clock.now += 60
    everybody.answer_what_waits()
    assert rest.answered == []


@pytest.mark.parametrize(
    ("assigned", "expected"),
    [((), "ml"), (("sponsor",), "sponsor"), (("viewer", "sponsor", "ml"), "sponsor")],
)
def test_first_assigned_of_the_people_answers(assigned: tuple[str, ...], expected: str) -> None:
    everybody, _, clock = people(waiting("form", *assigned))
    everybody.answer_what_waits()
    clock.now += 3
    assert [answer.user for answer in everybody.answer_what_waits()] == [expected]


def test_form_for_a_stranger_is_a_typed_error() -> None:
    everybody, _, clock = people(waiting("form", "stranger"))
    everybody.answer_what_waits()
    clock.now += 3
    with pytest.raises(DemoError, match=r"discovery.form waits for stranger"):
        everybody.answer_what_waits()


def test_somebody_faster_in_the_ui_is_no_error() -> None:
    everybody, rest, clock = people(waiting("form", "ml"), faster=True)
    everybody.answer_what_waits()
    clock.now += 3
    assert everybody.answer_what_waits() == []
    assert everybody.answer_what_waits() == []
    assert len(rest.answered) == 1
