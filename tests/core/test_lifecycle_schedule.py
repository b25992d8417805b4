"""Critical path, working days, forecasts and lateness, held against brute force."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import LifecycleError
from airflow_ai_provider.core.lifecycle.calendar import WorkCalendar
from airflow_ai_provider.core.lifecycle.critical_path import Placed, Work, chain, schedule
from airflow_ai_provider.core.lifecycle.estimates import ThreePoint
from airflow_ai_provider.core.lifecycle.forecast import Step, forecast, plan
from airflow_ai_provider.core.lifecycle.lateness import late, waiting

MONDAY = date(2026, 3, 2)
DAYS = st.dates(date(2025, 11, 1), date(2026, 9, 1))


@st.composite
def networks(draw: st.DrawFn) -> dict[str, Work]:
    works = {}
    for number in range(draw(st.integers(1, 7))):
        before = [str(n) for n in range(number)]
        after = draw(st.sets(st.sampled_from(before))) if before else set()
        length = draw(st.integers(0, 20))
        works[str(number)] = Work(length=length, after=sorted(after))
    return works


def every_path(works: dict[str, Work], name: str) -> list[list[str]]:
    """Return each path that ends with ``name``."""
    before = [path for a in works[name].after for path in every_path(works, a)]
    return [[*path, name] for path in before or [[]]]


def length(works: dict[str, Work], path: list[str]) -> float:
    return sum(works[name].length for name in path)


@given(networks())
def test_each_work_begins_when_the_longest_way_to_it_is_done(works: dict[str, Work]) -> None:
    placed = schedule(works)
    for name, place in placed.items():
        assert place.finish == max(length(works, path) for path in every_path(works, name))
        assert place.finish - place.start == works[name].length


@given(networks())
def test_slack_is_what_a_work_may_be_delayed_before_the_end_is(works: dict[str, Work]) -> None:
    placed = schedule(works)
    end = max(place.finish for place in placed.values())
    for name, place in placed.items():
        for more, moves in ((place.slack, False), (place.slack + 1, True)):
            longer = {
                **works,
                name: Work(length=works[name].length + more, after=works[name].after),
            }
            later = max(p.finish for p in schedule(longer).values())
            assert (later > end) is moves


@given(networks())
def test_the_critical_path_is_a_longest_path_without_slack(works: dict[str, Work]) -> None:
    placed = schedule(works)
    path = chain(works, placed)
    longest = max(length(works, p) for name in works for p in every_path(works, name))
    assert length(works, path) == longest
    assert all(placed[name].critical for name in path)
    for one, two in pairwise(path):
        assert one in works[two].after


def test_no_work_and_an_unknown_predecessor_are_no_trouble() -> None:
    assert schedule({}) == {}
    assert chain({}, {}) == []
    assert schedule({"a": Work(length=1, after=["gone"])})["a"] == Placed(
        start=0, finish=1, slack=0
    )


def test_works_that_wait_for_one_another_are_refused() -> None:
    with pytest.raises(LifecycleError, match="wait for one another"):
        schedule({"a": Work(length=1, after=["b"]), "b": Work(length=1, after=["a"])})


@given(
    DAYS, DAYS, st.sets(st.integers(0, 6), min_size=1), st.sets(DAYS, max_size=30),
)  # fmt: skip
def test_places_are_counted_day_by_day(
    start: date, day: date, weekdays: set[int], holidays: set[date]
) -> None:
    calendar = WorkCalendar(start=start, weekdays=frozenset(weekdays), holidays=frozenset(holidays))
    low, high = min(start, day), max(start, day)
    walked = [low + timedelta(days=n) for n in range((high - low).days)]
    count = sum(d.weekday() in weekdays and d not in holidays for d in walked)
    assert calendar.morning(day) == (count if day >= start else -count)
    assert calendar.evening(day) == calendar.morning(day) + calendar.is_working(day)


@given(DAYS, st.floats(0, 300), st.sets(st.integers(0, 6), min_size=1), st.sets(DAYS, max_size=30))
def test_a_place_becomes_a_working_day_and_back(
    start: date, place: float, weekdays: set[int], holidays: set[date]
) -> None:
    calendar = WorkCalendar(start=start, weekdays=frozenset(weekdays), holidays=frozenset(holidays))
    for day in (calendar.starts(place), calendar.ends(place)):
        assert calendar.is_working(day)
        assert day >= start
    assert calendar.morning(calendar.starts(place)) <= place + 1e-6
    assert calendar.evening(calendar.ends(place)) >= place - 1e-6


def test_five_days_from_monday_end_on_friday_and_the_sixth_is_monday() -> None:
    calendar = WorkCalendar(start=MONDAY)
    assert calendar.ends(5) == date(2026, 3, 6)
    assert calendar.ends(5.5) == date(2026, 3, 9)
    assert calendar.starts(5) == date(2026, 3, 9)
    assert WorkCalendar(start=MONDAY, holidays=frozenset({date(2026, 3, 6)})).ends(5) == date(
        2026, 3, 9
    )
    with pytest.raises(LifecycleError, match="working days from"):
        calendar.ends(1e9)
    with pytest.raises(LifecycleError, match="weekdays"):
        WorkCalendar(start=MONDAY, weekdays=frozenset({7}))


@given(st.lists(st.floats(0, 1000), min_size=3, max_size=3))
def test_an_estimate_runs_forward_or_is_refused(said: list[float]) -> None:
    best, likely, worst = said
    if best <= likely <= worst:
        estimate = ThreePoint(best=best, likely=likely, worst=worst)
        assert best <= estimate.expected + 1e-9
        assert estimate.expected <= worst + 1e-9
    else:
        with pytest.raises(LifecycleError, match="backwards"):
            ThreePoint(best=best, likely=likely, worst=worst)


def three(best: float, likely: float, worst: float) -> ThreePoint:
    return ThreePoint(best=best, likely=likely, worst=worst)


def test_one_step_ends_as_its_estimate_says() -> None:
    found = forecast({"a": Step(estimate=three(2, 4, 12))}, now=0)
    outlook = found.steps["a"]
    assert outlook.finish == pytest.approx(5.0, abs=0.05)  # (2 + 4 * 4 + 12) / 6
    assert 2 <= outlook.p50 < outlook.finish  # skewed to the right
    assert outlook.p50 < outlook.p90 <= 12
    assert found.path == ("a",)
    assert outlook.criticality == 1


def test_where_paths_meet_the_end_is_later_than_the_longest_expected_path() -> None:
    steps = {f"p{n}": Step(estimate=three(1, 10, 19)) for n in range(8)}
    steps["end"] = Step(estimate=three(0, 0, 0), after=list(steps))
    found = forecast(steps, now=0)
    assert found.p50 > 12  # each path alone is expected to take 10
    assert sum(found.steps[f"p{n}"].criticality for n in range(8)) == pytest.approx(1, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(networks(), st.data())
def test_without_doubt_the_forecast_is_the_critical_path(
    works: dict[str, Work], data: st.DataObject
) -> None:
    now = data.draw(st.integers(0, 5))
    steps = {
        name: Step(estimate=three(*[work.length] * 3), after=work.after)
        for name, work in works.items()
    }
    placed = schedule(
        {n: Work(length=w.length, after=w.after, not_before=now) for n, w in works.items()}
    )
    found = forecast(steps, now=now, draws=50)
    for name, place in placed.items():
        outlook = found.steps[name]
        assert outlook.p50 == outlook.p90 == pytest.approx(place.finish)
        assert outlook.slack == pytest.approx(place.slack)
        assert outlook.criticality == (1.0 if place.critical else 0.0)


@settings(max_examples=40, deadline=None)
@given(networks(), st.data())
def test_what_is_done_stays_and_nothing_open_ends_before_now(
    works: dict[str, Work], data: st.DataObject
) -> None:
    now = float(data.draw(st.integers(0, 30)))
    steps = {}
    for name, work in works.items():
        begun = data.draw(st.none() | st.integers(0, int(now)))
        done = None if begun is None else data.draw(st.none() | st.integers(begun, int(now)))
        steps[name] = Step(
            estimate=three(work.length, work.length + 2, work.length + 9),
            after=work.after,
            started=begun,
            finished=done,
            share=0.0 if done is not None else data.draw(st.sampled_from([0.0, 0.5, 1.0])),
        )
    found = forecast(steps, now=now, draws=200)
    for name, step in steps.items():
        outlook = found.steps[name]
        if step.finished is not None:
            assert outlook.p50 == outlook.p90 == step.finished
            assert not outlook.critical
        else:
            assert now <= outlook.p50 <= outlook.p90
            for before in step.after:
                if step.started is None:
                    assert outlook.p50 >= found.steps[before].p50 - 1e-9
    assert found.p90 >= found.p50


def test_the_longer_it_runs_the_later_it_ends() -> None:
    ends = [
        forecast({"a": Step(estimate=three(2, 4, 12), started=0.0)}, now=now).p50
        for now in (0, 3, 6, 11, 12, 30)
    ]
    assert ends == sorted(ends)
    assert ends[-1] == pytest.approx(30 + (12 - 2) / 6)


def test_a_plan_of_later_is_not_begun_before_it_begins() -> None:
    steps = {"a": Step(estimate=three(1, 1, 1)), "b": Step(estimate=three(1, 1, 1), after=["a"])}
    assert forecast(steps, now=-40).p50 == 2


def plan_of() -> dict[str, Step]:
    return {
        "data": Step(estimate=three(2, 4, 8)),
        "skills": Step(estimate=three(1, 1, 2)),
        "pilot": Step(estimate=three(5, 10, 20), after=["data", "skills"]),
        "release": Step(estimate=three(5, 5, 5), after=["pilot"]),
    }


def test_nothing_is_late_on_the_first_day() -> None:
    steps = plan_of()
    assert late(steps, plan(steps), forecast(steps, now=0), now=0) == []


def test_what_is_late_says_why_down_the_path() -> None:
    steps = plan_of()
    planned = plan(steps)
    steps["data"] = Step(estimate=steps["data"].estimate, started=0, finished=12)
    steps["skills"] = Step(estimate=steps["skills"].estimate, started=0, finished=1)
    steps["pilot"] = Step(estimate=steps["pilot"].estimate, after=["data", "skills"], started=12)
    found = {e.name: e for e in late(steps, planned, forecast(steps, now=14), now=14)}
    assert set(found) == {"data", "pilot", "release"}
    assert found["data"].why == "it took 12 working days, 4.3 working days were expected"
    assert found["pilot"].why.startswith("data before it is ")
    assert found["release"].why.startswith("pilot before it is ")
    assert waiting(steps) == ["pilot"]


def test_a_step_past_its_worst_and_one_that_nobody_begins_are_told_apart() -> None:
    steps = plan_of()
    planned = plan(steps)
    steps["data"] = Step(estimate=steps["data"].estimate, started=0)
    found = {e.name: e for e in late(steps, planned, forecast(steps, now=9), now=9)}
    assert "longer than its worst estimate of 8 working days" in found["data"].why
    assert found["skills"].why == "it could be begun and is not"
    assert waiting(steps) == ["data", "skills"]
