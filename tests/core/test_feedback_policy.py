from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import RetrainPolicyError
from airflow_ai_provider.core.feedback.policy import (
    Champion,
    RetrainDecision,
    RetrainPolicy,
    decide,
    read_date,
)
from airflow_ai_provider.core.gate import Verdict

POLICY = RetrainPolicy(min_feedback=1000)
V1 = Champion(version="1", trained_through=date(2013, 3, 31))
V2 = Champion(version="2", trained_through=date(2013, 5, 31))


def figures(gap: float, low: float, high: float, n: int = 27_000) -> dict[str, Any]:
    return {"version": "1", "n": n, "gap": gap, "gap_low": low, "gap_high": high}


APRIL = figures(0.065, 0.036, 0.097)
MAY = figures(0.012, -0.008, 0.032)
JUNE = figures(0.058, 0.030, 0.093)
JULY = figures(0.022, -0.003, 0.047)


def speaks_for(decision: RetrainDecision) -> set[str]:
    return {c.name for c in decision.criteria if c.verdict is Verdict.PASS}


def speaks_against(decision: RetrainDecision) -> set[str]:
    return {c.name for c in decision.criteria} - speaks_for(decision)


@pytest.mark.parametrize(
    ("champion", "metrics", "window_end", "newest", "retrain", "causes", "against"),
    [
        (V1, APRIL, (2013, 4, 30), (2013, 3, 31), False, {"calibration_gap"}, {"newer_data"}),
        (V1, MAY, (2013, 5, 31), (2013, 4, 30), True, {"champion_age"}, set()),
        (V1, JUNE, (2013, 6, 30), (2013, 5, 31), True, {"calibration_gap", "champion_age"}, set()),
        (V2, JULY, (2013, 7, 31), (2013, 6, 30), True, {"champion_age"}, set()),
    ],
    ids=["april", "may", "june", "july"],
)
def test_the_year_of_the_flights(
    champion: Champion,
    metrics: dict[str, Any],
    window_end: tuple[int, int, int],
    newest: tuple[int, int, int],
    retrain: bool,
    causes: set[str],
    against: set[str],
) -> None:
    decision = decide(
        POLICY,
        champion=champion,
        metrics=metrics,
        window_end=date(*window_end),
        newest_data=date(*newest),
        last_retrain=date(2013, 5, 31) if window_end[1] > 5 else None,
    )
    assert decision.retrain is retrain
    assert speaks_for(decision) & {"calibration_gap", "champion_age"} == causes
    assert speaks_against(decision) - {"calibration_gap", "champion_age"} == against
    assert decision.summary.startswith("Retrain:" if retrain else "Do not retrain:")
    assert all(c.sentence.endswith(".") for c in decision.criteria)


def june(**changes: Any) -> RetrainDecision:
    facts: dict[str, Any] = {
        "champion": V1,
        "metrics": JUNE,
        "window_end": date(2013, 6, 30),
        "newest_data": date(2013, 5, 31),
    }
    policy = changes.pop("policy", POLICY)
    return decide(policy, **{**facts, **changes})


@pytest.mark.parametrize(
    ("changes", "against"),
    [
        ({"champion": None}, "champion"),
        ({"metrics": None}, "enough_feedback"),
        ({"metrics": figures(0.1, 0.09, 0.11, n=999)}, "enough_feedback"),
        ({"newest_data": None}, "newer_data"),
        ({"newest_data": V1.trained_through}, "newer_data"),
        ({"champion": Champion(version="1", trained_through=None)}, "newer_data"),
        ({"in_flight": True}, "in_flight"),
        (
            {"policy": RetrainPolicy(cooldown_days=31), "last_retrain": date(2013, 5, 31)},
            "cooldown",
        ),
    ],
)
def test_each_condition_alone_prevents_it_and_says_so(
    changes: dict[str, Any], against: str
) -> None:
    decision = june(**changes)
    assert not decision.retrain
    assert against in speaks_against(decision)
    sentence = next(c.sentence for c in decision.criteria if c.name == against)
    assert sentence in decision.summary


def test_a_gap_below_zero_fires_as_well() -> None:
    decision = june(metrics=figures(-0.05, -0.08, -0.03), policy=RetrainPolicy(max_age_days=None))
    assert decision.retrain


@pytest.mark.parametrize("missing", ["gap", "gap_low", "gap_high"])
def test_a_gap_that_was_not_measured_is_no_cause(missing: str) -> None:
    decision = june(metrics={**JUNE, missing: None}, policy=RetrainPolicy(max_age_days=None))
    assert not decision.retrain
    assert "could not be measured" in decision.summary


@given(
    gap=st.none() | st.floats(-1, 1),
    half=st.floats(0, 0.5),
    n=st.integers(0, 2000),
    newest=st.none() | st.dates(date(2013, 1, 1), date(2013, 12, 31)),
    champion=st.sampled_from([None, V1, V2, Champion(version="1", trained_through=None)]),
    in_flight=st.booleans(),
)
def test_a_yes_has_a_cause_and_every_condition(
    gap: float | None,
    half: float,
    n: int,
    newest: date | None,
    champion: Champion | None,
    in_flight: bool,
) -> None:
    metrics = {
        "n": n,
        "gap": gap,
        "gap_low": None if gap is None else gap - half,
        "gap_high": None if gap is None else gap + half,
    }
    decision = june(metrics=metrics, newest_data=newest, champion=champion, in_flight=in_flight)
    against = speaks_against(decision)
    causes = {"calibration_gap", "champion_age"}
    assert decision.retrain == (not against - causes and not causes <= against)
    if decision.retrain:
        assert champion
        assert n >= 1000
        assert not in_flight


def test_a_policy_is_read_from_a_mapping() -> None:
    policy = RetrainPolicy.from_dict({"max_gap": 0.03, "max_age_days": None, "min_feedback": 500})
    assert policy == RetrainPolicy(max_gap=0.03, max_age_days=None, min_feedback=500)


@pytest.mark.parametrize(
    "found",
    [
        {"max_gpa": 0.02},
        {"max_gap": "0.02"},
        {"max_gap": -0.1},
        {"max_gap": float("nan")},
        {"max_age_days": 60.5},
        {"max_age_days": True},
        {"min_feedback": None},
        {"max_gap": None, "max_age_days": None},
        ["max_gap"],
        None,
    ],
)
def test_a_policy_that_means_nothing_is_an_error(found: Any) -> None:
    with pytest.raises(RetrainPolicyError):
        RetrainPolicy.from_dict(found)


@pytest.mark.parametrize(
    "told",
    [
        "2013-05-31",
        "2013-05-31T23:00:00Z",
        date(2013, 5, 31),
        datetime(2013, 5, 31, tzinfo=timezone.utc),
    ],
)
def test_days_are_read_in_every_form_that_xcom_gives(told: Any) -> None:
    assert read_date(told, "window_end") == date(2013, 5, 31)


def test_what_is_no_day_is_an_error() -> None:
    with pytest.raises(RetrainPolicyError, match="window_end"):
        read_date("2013-13-01", "window_end")
