"""Agreement as its author computes it, and two versions beside each other."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.feedback.agreement import agreement, krippendorff_alpha
from airflow_ai_provider.core.feedback.comparison import LOSSES, compare, find_pair

# four observers, twelve units, missing answers: the example of Krippendorff (2011)
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
ANSWERS = [
    (unit, f"observer {who}", answer)
    for who, row in enumerate(OBSERVERS)
    for unit, answer in enumerate(row)
    if answer is not None
]


@pytest.mark.parametrize(
    ("measure", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_the_published_example(measure: str, published: float) -> None:
    found = agreement(ANSWERS, measure=measure)
    assert found.alpha == pytest.approx(published, abs=0.0005)
    assert (found.units, found.raters) == (11, 4)


def test_what_is_not_defined_is_unknown() -> None:
    assert agreement([], measure="nominal").alpha is None
    assert agreement([(1, "a", "x"), (2, "b", "y")], measure="nominal").alpha is None
    assert agreement([(1, "a", "x"), (1, "b", "x")], measure="nominal").alpha is None
    assert agreement([(1, "a", "x"), (1, "a", "y")], measure="nominal").units == 0


def test_a_persons_last_word_counts() -> None:
    said = [(1, "a", 1), (1, "b", 2), (2, "a", 2), (2, "b", 2)]
    assert agreement([*said, (1, "b", 1)], measure="nominal").alpha == 1.0


def test_contradiction_is_below_chance_and_chance_is_near_zero() -> None:
    assert krippendorff_alpha([[0, 1], [1, 0], [0, 1]], "nominal") < 0
    draw = random.Random(1)
    units = [[draw.randint(0, 3), draw.randint(0, 3)] for _ in range(4000)]
    assert abs(krippendorff_alpha(units, "nominal")) < 0.03


@given(st.lists(st.lists(st.integers(1, 5), min_size=2, max_size=4), min_size=1, max_size=8))
def test_alpha_does_not_depend_on_order_and_never_exceeds_one(units: list[list[int]]) -> None:
    for measure in ("nominal", "ordinal", "interval"):
        alpha = krippendorff_alpha(units, measure)
        turned = krippendorff_alpha([unit[::-1] for unit in units[::-1]], measure)
        assert (alpha is None) == (turned is None) == (len({a for u in units for a in u}) == 1)
        if alpha is not None:
            assert alpha <= 1 + 1e-9
            assert turned == pytest.approx(alpha)
            perfect = all(len(set(unit)) == 1 for unit in units)
            assert math.isclose(alpha, 1.0) == perfect


def test_the_worse_of_two_versions_on_the_same_rows_shows() -> None:
    draw = np.random.default_rng(0)
    truth = draw.uniform(0.1, 0.9, 4000)
    labels = (draw.uniform(size=4000) < truth).astype(float)
    worse = np.clip(truth + 0.3, 0, 1)
    days = np.repeat(np.arange(40), 100)
    for pair in compare("2", "1", labels, worse, truth, days):
        assert pair.n == 4000
        assert pair.difference == pytest.approx(pair.value - pair.other_value)
        assert pair.low is not None
        assert 0 < pair.low < pair.difference < pair.high
    same = compare("2", "1", labels, truth, truth, days)
    assert {pair.difference for pair in same} == {0.0}
    assert compare("2", "1", [], [], [], None) == []
    assert {pair.low for pair in compare("2", "1", labels, worse, truth, None)} == {None}


def test_a_pair_reads_the_same_from_both_sides() -> None:
    labels, one, two = [0, 1, 1, 0], [0.2, 0.7, 0.6, 0.4], [0.5, 0.5, 0.5, 0.5]
    days = ["a", "a", "b", "b"]
    here = [pair.to_dict() for pair in compare("2", "1", labels, one, two, days)]
    for metric in LOSSES:
        straight, turned = (find_pair(here, *ends, metric) for ends in (("2", "1"), ("1", "2")))
        assert straight is not None
        assert turned is not None
        assert turned["difference"] == -straight["difference"]
        assert (turned["low"], turned["high"]) == (-straight["high"], -straight["low"])
        assert turned["value"] == straight["other_value"]
    assert find_pair(here, "3", "1", "brier") is None
