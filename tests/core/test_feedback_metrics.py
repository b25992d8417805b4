from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.feedback.metrics import (
    SliceMetrics,
    gap_interval,
    log_loss,
    measure,
    roc_auc,
)

pairs = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])),
    min_size=1,
    max_size=30,
)


@given(pairs)
@settings(max_examples=30, deadline=None)
def test_the_area_is_the_share_of_pairs_in_order_ties_half(rows: list[tuple[int, float]]) -> None:
    ones = [score for label, score in rows if label]
    zeros = [score for label, score in rows if not label]
    found = roc_auc([label for label, _ in rows], [score for _, score in rows])
    if not ones or not zeros:
        assert found is None
        return
    wins = sum((one > zero) + (one == zero) / 2 for one in ones for zero in zeros)
    assert found == pytest.approx(wins / len(ones) / len(zeros))


def test_the_log_loss_of_a_certain_and_wrong_prediction_is_finite() -> None:
    assert log_loss([1], [0.5]) == pytest.approx(math.log(2))
    assert math.isfinite(log_loss([1, 0], [0.0, 1.0]))


def test_the_interval_resamples_whole_groups() -> None:
    random.seed(3)
    late_days = {day: random.random() < 0.4 for day in range(30)}
    days = [day for day in range(30) for _ in range(50)]
    labels = [int(late_days[day]) for day in days]  # all rows of a day alike
    scores = [0.4] * len(days)
    by_day = gap_interval(labels, scores, days)
    by_row = gap_interval(labels, scores, range(len(days)))
    assert by_day[0] is not None
    assert by_day[1] is not None
    assert by_row[0] is not None
    assert by_row[1] is not None
    assert by_day[1] - by_day[0] > 3 * (by_row[1] - by_row[0])
    assert gap_interval(labels, scores, days) == by_day  # seeded


def test_one_group_tells_no_interval() -> None:
    assert gap_interval([1, 0], [0.5, 0.5], ["a", "a"]) == (None, None)


def test_the_figures_of_a_version() -> None:
    cut = SliceMetrics(slice="carrier=UA", n=2, observed=0.5, predicted=0.3, gap=0.2)
    found = measure(
        "3",
        [1, 0, 1, 0],
        [0.9, 0.1, 0.6, 0.2],
        predictions=5,
        groups=["a", "a", "b", "b"],
        slices=[cut],
    )
    assert (found.n, found.coverage, found.observed) == (4, 0.8, 0.5)
    assert found.gap == pytest.approx(0.05)
    assert found.roc_auc == 1.0
    told = found.to_dict()
    assert told["gap"] == 0.05
    assert told["slices"][0]["slice"] == "carrier=UA"
    points = {(point["slice"], point["metric"]): point for point in found.points()}
    assert points["", "gap"]["low"] == found.gap_low
    assert points["carrier=UA", "gap"]["value"] == 0.2


def test_what_cannot_be_measured_is_none() -> None:
    nothing = measure("3", [], [], predictions=5, groups=[])
    assert (nothing.n, nothing.coverage, nothing.gap, nothing.roc_auc) == (0, 0.0, None, None)
    assert measure("3", [1], [0.5], predictions=1).gap_low is None
    assert measure("3", [], [], predictions=0).coverage == 0.0
