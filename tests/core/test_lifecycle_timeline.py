"""A plan as dates: what is planned, what happened, what is expected, and who is waited for."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import LifecycleError
from airflow_ai_provider.core.lifecycle.calendar import WorkCalendar
from airflow_ai_provider.core.lifecycle.happened import Decided, happened, passed, subjects_of
from airflow_ai_provider.core.lifecycle.page.gantt import gantt
from airflow_ai_provider.core.lifecycle.timeline import Happened, timeline

MONDAY = date(2026, 3, 2)
PEOPLE = {"sponsor": "ada", "ml_engineer": "grace"}


def milestone(name: str, phase: str, *after: str, days: float = 5, owner: str = "sponsor") -> Any:
    estimate = {"best": days, "likely": days, "worst": days}
    return {"name": name, "phase": phase, "owner": owner, "after": list(after),
            "estimate": estimate, "deliverables": []}  # fmt: skip


PLAN = [
    milestone("discovery", "discovery"),
    milestone("pilots", "pilot", "discovery", owner="ml_engineer"),
    milestone("release", "production", "pilots", owner="operations"),
]


def on(what: dict[str, Happened], today: date) -> dict[str, Any]:
    return timeline(
        PLAN, what, calendar=WorkCalendar(start=MONDAY), today=today, people=PEOPLE, draws=100
    )


def test_a_plan_that_nobody_began_is_its_own_forecast() -> None:
    found = on({}, MONDAY)
    assert json.loads(json.dumps(found)) == found
    assert found["planned_finish"] == found["p50"] == found["p90"] == "2026-03-20"
    assert found["path"] == ["discovery", "pilots", "release"]
    assert found["late"] == []
    assert found["waiting_for"] == [
        {"milestone": "discovery", "role": "sponsor", "person": "ada", "since": "2026-03-02"}
    ]
    assert [m["state"] for m in found["milestones"]] == ["ready", "waiting", "waiting"]


def test_a_week_late_stays_a_week_late_and_names_who_is_waited_for() -> None:
    done = Happened(started=MONDAY, finished=date(2026, 3, 13))
    found = on(
        {"discovery": done, "pilots": Happened(started=date(2026, 3, 13))}, date(2026, 3, 16)
    )
    assert found["milestones"][0]["actual"] == {"start": "2026-03-02", "finish": "2026-03-13"}
    assert found["p50"] == "2026-03-26"  # the pilot was begun on the Friday before
    assert {e["name"]: e["days"] for e in found["late"]} == {
        "discovery": 5.0, "pilots": 4.0, "release": 4.0,
    }  # fmt: skip
    assert found["waiting_for"] == [
        {"milestone": "pilots", "role": "ml_engineer", "person": "grace", "since": "2026-03-13"}
    ]


def test_what_has_no_estimate_is_named() -> None:
    found = timeline(
        [{"name": "a", "phase": "pilot", "owner": "sponsor", "estimate": None}],
        {}, calendar=WorkCalendar(start=MONDAY), today=MONDAY,
    )  # fmt: skip
    assert found["unestimated"] == ["a"]
    assert found["p50"] == "2026-03-02"


def test_no_milestones_have_no_end() -> None:
    found = timeline([], {}, calendar=WorkCalendar(start=MONDAY), today=MONDAY)
    assert (found["p50"], found["p90"], found["planned_finish"], found["path"]) == (
        None, None, None, [],
    )  # fmt: skip
    assert gantt(found) == ""


@pytest.mark.parametrize(
    "plan",
    [
        [milestone("a", "pilot", "b"), milestone("b", "pilot", "a")],
        [{**milestone("a", "pilot"), "estimate": {"best": 3, "likely": 2, "worst": 1}}],
    ],
)
def test_a_plan_that_cannot_be_is_refused(plan: list[Any]) -> None:
    with pytest.raises(LifecycleError):
        timeline(plan, {}, calendar=WorkCalendar(start=MONDAY), today=MONDAY)


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["discovery", "pilots", "release"]),
        st.tuples(st.none() | st.dates(MONDAY, date(2026, 6, 1)),
                  st.none() | st.dates(MONDAY, date(2026, 6, 1))),
    ),
    st.dates(MONDAY, date(2026, 6, 1)),
)  # fmt: skip
def test_whatever_happened_there_is_a_page_of_it(
    what: dict[str, tuple[date | None, date | None]], today: date
) -> None:
    told = {n: Happened(started=s, finished=f) for n, (s, f) in what.items()}
    found = on(told, today)
    assert found["p50"] <= found["p90"]
    assert gantt(found).count("<rect") >= len(PLAN)


def decided(subject: str, verdict: str, day: int) -> Decided:
    at = datetime(2026, 3, day, 12, tzinfo=timezone.utc)
    return Decided(subject=f"project://p/{subject}", verdict=verdict, at=at)


def test_the_ledger_tells_what_was_done_when() -> None:
    done = passed(
        "p",
        [
            decided("discovery/kick_off", "fail", 2),
            decided("discovery/kick_off", "pass", 3),
            decided("discovery", "fail", 4),
            decided("discovery", "override", 6),
            decided("discovery", "pass", 9),
        ],
    )
    assert {name: at.day for name, at in done.items()} == {"kick_off": 3, "discovery": 6}
    plan = [
        milestone("kick_off", "discovery"),
        milestone("sources", "discovery", "kick_off"),
        milestone("pilots", "pilot", "sources"),
        milestone("release", "production", "pilots"),
    ]
    found = happened(plan, done, began=MONDAY)
    assert found["kick_off"] == Happened(started=MONDAY, finished=date(2026, 3, 3))
    assert found["sources"] == Happened(started=date(2026, 3, 3), finished=date(2026, 3, 6))
    assert found["pilots"] == Happened(started=date(2026, 3, 6))
    assert found["release"] == Happened()


def test_gates_of_milestones_tell_how_much_of_discovery_is_done() -> None:
    half = ["kick_off", "data_landscape", "process_and_technology"]
    done = passed("p", [decided(f"discovery/{name}", "pass", 3) for name in half])
    found = happened(PLAN, done, began=MONDAY)
    assert found["discovery"] == Happened(started=MONDAY, share=0.5)
    in_parts = [milestone("kick_off", "discovery"), milestone("rest", "discovery", "kick_off")]
    assert happened(in_parts, done, began=MONDAY)["rest"].share == 0.0
    over = passed("p", [decided("discovery", "pass", 6)])
    assert happened(PLAN, {**done, **over}, began=MONDAY)["discovery"].share == 0.0


def test_what_is_half_done_takes_half_of_its_estimate_from_now_on() -> None:
    thursday = date(2026, 3, 5)  # three of five days are over
    unknown = on({"discovery": Happened(started=MONDAY)}, thursday)
    half = on({"discovery": Happened(started=MONDAY, share=0.5)}, thursday)
    assert unknown["milestones"][0]["forecast"]["p50"] == "2026-03-06"
    assert half["milestones"][0]["forecast"]["p50"] == "2026-03-09"  # 3 + 0.5 * 5 days
    assert half["milestones"][0]["share_done"] == 0.5
    assert half["p50"] > unknown["p50"]
    assert half["planned_finish"] == unknown["planned_finish"]


def test_what_a_caller_knows_goes_before_the_ledger() -> None:
    told = {"pilots": Happened(started=date(2026, 3, 4), finished=date(2026, 3, 5))}
    found = happened(PLAN, {}, began=MONDAY, given=told)
    assert found["pilots"] == told["pilots"]
    assert found["discovery"] == Happened(started=MONDAY)


def test_every_phase_and_milestone_of_discovery_is_asked_for() -> None:
    assert len(subjects_of("p")) == 10
    assert "project://p/discovery/kick_off" in subjects_of("p")
