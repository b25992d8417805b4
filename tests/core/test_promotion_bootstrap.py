"""Intervals: fast and general ways agree, noise does not pass, a true gain does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.promotion import bootstrap
from airflow_ai_provider.core.promotion import bootstrap_ranks as ranks
from airflow_ai_provider.core.promotion.bootstrap import COMPARABLE, paired_interval
from airflow_ai_provider.core.promotion.metrics import METRICS, NotMeasurableError


def made(random, *, groups=20, size=40, noise=(0.2, 0.2)):
    """Return label, two scores and the group of rows that share a day's shock."""
    group = np.repeat(np.arange(groups), size)
    latent = random.normal(size=groups)[group] * 0.5 + random.normal(size=groups * size)
    label = (latent + random.normal(size=len(group)) > 0.7).astype(int)
    rate = 1 / (1 + np.exp(-(latent - 0.7) * 1.5))
    scores = [np.clip(rate + n * random.normal(size=len(group)), 0.01, 0.99) for n in noise]
    return label, scores[0], scores[1], group


@pytest.mark.parametrize("metric", COMPARABLE)
def test_the_difference_is_that_of_the_metric(metric):
    label, one, two, group = made(np.random.default_rng(1), noise=(0.1, 0.3))
    found = paired_interval(
        metric, label=label, candidate=one, reference=two, group=group, resamples=200
    )
    measured = METRICS.get(metric, lambda label, score: METRICS["rmse"](label, score) ** 2)
    direct = measured(label, one) - measured(label, two)
    assert found.difference == pytest.approx(direct)
    assert found.low < found.difference < found.high
    assert found.groups == 20


def test_counting_pairs_of_groups_equals_weighing_rows(monkeypatch):
    label, one, two, group = made(np.random.default_rng(2))
    one, two = np.round(one, 1), np.round(two, 1)  # many ties
    asked = {"label": label, "candidate": one, "reference": two, "group": group}
    fast = paired_interval("roc_auc", **asked, resamples=150)
    monkeypatch.setattr(bootstrap, "_MATRIX_GROUPS", 0)
    slow = paired_interval("roc_auc", **asked, resamples=150)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high))


def test_same_seed_same_interval():
    label, one, two, group = made(np.random.default_rng(3))
    asked = {"label": label, "candidate": one, "reference": two, "group": group}
    first, again, other = (
        paired_interval("brier", **asked, resamples=200, seed=seed) for seed in (5, 5, 6)
    )
    assert first == again != other


def test_names_group_as_well_as_numbers():
    label, one, two, group = made(np.random.default_rng(4))
    names = np.array([f"day {g}" for g in group], dtype=object)
    asked = {"label": label, "candidate": one, "reference": two, "resamples": 100}
    by_name = paired_interval("log_loss", **asked, group=names)
    assert by_name.groups == 20


def test_rows_are_resampled_without_a_group():
    label, one, two, _ = made(np.random.default_rng(5), groups=5)
    found = paired_interval("roc_auc", label=label, candidate=one, reference=two, resamples=100)
    assert found.groups == 200


def test_a_shared_shock_widens_the_interval_over_whole_groups():
    random = np.random.default_rng(6)
    group = np.repeat(np.arange(30), 50)
    shock = random.normal(size=30)[group] * 0.1
    label = random.integers(0, 2, len(group))
    one = np.clip(0.5 + shock, 0, 1)
    two = np.full(len(group), 0.5)
    asked = {"label": label, "candidate": one, "reference": two, "resamples": 300}
    rows = paired_interval("brier", **asked)
    groups = paired_interval("brier", **asked, group=np.where(shock > 0, group, -group))
    assert groups.high - groups.low >= (rows.high - rows.low) * 0.8


def test_too_few_groups_have_no_interval():
    label, one, two, group = made(np.random.default_rng(7), groups=4)
    with pytest.raises(NotMeasurableError, match="at least 5 groups to resample, there are 4"):
        paired_interval("roc_auc", label=label, candidate=one, reference=two, group=group)


def test_resamples_of_one_class_have_no_interval():
    label = np.array([1] + [0] * 29)
    score = np.linspace(0, 1, 30)
    with pytest.raises(NotMeasurableError, match="have only one class"):
        paired_interval("roc_auc", label=label, candidate=score, reference=score[::-1])


def test_a_reference_without_values_has_no_interval():
    label, one, two, group = made(np.random.default_rng(8))
    two[3] = np.nan
    with pytest.raises(NotMeasurableError, match="no score"):
        paired_interval("roc_auc", label=label, candidate=one, reference=two, group=group)


@pytest.mark.parametrize(("metric", "sign"), [("roc_auc", 1), ("log_loss", -1)])
def test_noise_of_whole_days_does_not_pass(metric, sign):
    """Of 100 pairs without a true difference at most 5 % (and sampling error) look better."""
    passed = 0
    for seed in range(100):
        label, one, two, group = made(np.random.default_rng(seed), groups=25, size=20)
        found = paired_interval(
            metric, label=label, candidate=one, reference=two, group=group, resamples=200
        )
        passed += (found.low if sign > 0 else -found.high) > 0
    assert passed <= 9


def twins(random, rows, rates, shared=0.8):
    """Return labels and the answers of two models that are right as often as ``rates`` say.

    They were trained on the same data and disagree on about one row in nine.
    """
    label = random.integers(0, 2, rows)
    luck = random.random(rows)
    answers = []
    for rate in rates:
        own = np.where(random.random(rows) < shared, luck, random.random(rows))
        answers.append(np.where(own < rate, label, 1 - label).astype(float))
    return label, *answers


def test_of_a_thousand_pairs_without_a_difference_at_most_5_percent_pass():
    """A two-sided 95 % interval lets about 2.5 % of them through on the better side."""
    random, passed = np.random.default_rng(11), 0
    for seed in range(1000):
        label, one, two = twins(random, 1000, (0.8, 0.8))
        found = paired_interval("accuracy", label=label, candidate=one, reference=two, seed=seed)
        passed += found.low > 0
    assert 5 <= passed <= 50


def test_of_a_hundred_true_gains_of_a_point_of_accuracy_at_least_90_pass():
    random, passed = np.random.default_rng(12), 0
    for seed in range(100):
        label, one, two = twins(random, 20_000, (0.81, 0.80))
        assert 0.09 < np.mean(one != two) < 0.14
        found = paired_interval("accuracy", label=label, candidate=one, reference=two, seed=seed)
        passed += found.low > 0
    assert passed >= 90


def test_a_true_gain_passes():
    passed = 0
    for seed in range(20):
        label, one, two, group = made(np.random.default_rng(seed), noise=(0.05, 0.4))
        found = paired_interval(
            "roc_auc", label=label, candidate=one, reference=two, group=group, resamples=200
        )
        passed += found.low > 0
    assert passed >= 18


# --- the ways that are fast give what the plain one gives -----------------------------------------


def test_drawing_values_is_drawing_rows(monkeypatch):
    label, one, two = twins(np.random.default_rng(13), 2000, (0.8, 0.78))
    asked = {"label": label, "candidate": one, "reference": two, "resamples": 4000}
    pooled = paired_interval("accuracy", **asked)
    monkeypatch.setattr(bootstrap, "_POOLED_VALUES", 0)
    by_row = paired_interval("accuracy", **asked)
    assert pooled.difference == pytest.approx(by_row.difference)
    width = by_row.high - by_row.low
    assert pooled.low == pytest.approx(by_row.low, abs=0.06 * width)
    assert pooled.high == pytest.approx(by_row.high, abs=0.06 * width)


@pytest.mark.parametrize("metric", COMPARABLE)
def test_poisson_counts_are_as_good_as_draws(metric, monkeypatch):
    label, one, two, _ = made(np.random.default_rng(14), groups=40, size=25, noise=(0.1, 0.3))
    asked = {"label": label, "candidate": one, "reference": two, "resamples": 3000}
    drawn = paired_interval(metric, **asked)
    monkeypatch.setattr(bootstrap, "_POISSON_GROUPS", 0)
    poisson = paired_interval(metric, **asked)
    width = drawn.high - drawn.low
    assert poisson.low == pytest.approx(drawn.low, abs=0.1 * width)
    assert poisson.high == pytest.approx(drawn.high, abs=0.1 * width)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 5), st.integers(0, 3)),
        min_size=1,
        max_size=30,
    )
)
def test_a_weighed_metric_is_that_of_the_rows_repeated(rows):
    """Rows: label, score in fifths, group, and how often that group was drawn."""
    label = np.array([row[0] for row in rows])
    score = np.array([row[1] for row in rows]) / 5
    codes = np.array([row[2] for row in rows])
    counts = np.zeros((1, 6), dtype=np.int32)
    for row in rows:
        counts[0, row[2]] = row[3]
    weights = counts[0][codes]
    for made_of, name in (
        (ranks.auc_of_rows, "roc_auc"),
        (ranks.auc_of_pairs, "roc_auc"),
        (ranks.precision_of_rows, "average_precision"),
    ):
        if not (label == 1).any() or not (label == 0).any():
            continue
        found = made_of(label, score, codes, 6)(counts)[0]
        repeated = np.repeat(label, weights), np.repeat(score, weights)
        if set(repeated[0]) == {0, 1}:
            assert found == pytest.approx(METRICS[name](*repeated)), made_of
        elif name == "roc_auc" or 1 not in repeated[0]:
            assert np.isnan(found), made_of
