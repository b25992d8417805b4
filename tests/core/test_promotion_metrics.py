"""Metrics equal their definitions, and have no value where they have none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.promotion import metrics
from airflow_ai_provider.core.promotion.metrics import METRICS, NotMeasurableError

rows = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])),
    min_size=2,
    max_size=30,
).filter(lambda found: len({label for label, _ in found}) == 2)


def columns(found):
    label, score = zip(*found, strict=True)
    return np.array(label), np.array(score)


@given(rows)
@settings(max_examples=60, deadline=None)
def test_auc_is_the_share_of_pairs_in_the_right_order(found):
    label, score = columns(found)
    pairs = [(p, n) for p in score[label == 1] for n in score[label == 0]]
    share = sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)
    assert metrics.roc_auc(label, score) == pytest.approx(share)


def test_known_values():
    label = np.array([0, 0, 1, 1])
    score = np.array([0.1, 0.4, 0.35, 0.8])
    assert metrics.roc_auc(label, score) == 0.75
    assert metrics.average_precision(label, score) == pytest.approx(0.8333333)
    assert metrics.brier(label, score) == pytest.approx(0.158125)
    assert metrics.log_loss(label, score) == pytest.approx(0.4722879)
    assert metrics.accuracy(label, score) == 0.75


def test_calibration_error_of_a_constant_shift():
    score = np.linspace(0.2, 0.7, 1000)
    label = (np.random.default_rng(0).random(1000) < score - 0.1).astype(int)
    assert metrics.ece(label, score) == pytest.approx(0.1, abs=0.05)
    assert metrics.ece(np.array([1, 1]), np.array([1.0, 1.0])) == 0.0


def test_certain_and_wrong_is_a_large_finite_loss():
    assert 30 < metrics.log_loss(np.array([1, 0]), np.array([0.0, 0.5])) * 2 < 40


def test_accuracy_reads_classes_too():
    assert metrics.accuracy(np.array([3, 7, 7]), np.array([3, 7, 1])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", sorted(METRICS))
@pytest.mark.parametrize(
    ("label", "score", "reason"),
    [
        ([], [], "no rows"),
        ([0, 1], [0.5, math.nan], "1 of 2 rows have no score"),
        ([0, math.nan], [0.5, 0.5], "1 of 2 rows have no label"),
        (["a", "b"], [0.5, 0.5], "no numbers"),
        ([0, 1], [0.5], "2 labels stand against 1 scores"),
    ],
)
def test_what_is_missing_has_no_metric(name, label, score, reason):
    with pytest.raises(NotMeasurableError, match=reason):
        METRICS[name](np.array(label), np.array(score))


@pytest.mark.parametrize("name", sorted(set(METRICS) - {"accuracy", "mae", "rmse"}))
def test_classes_and_logits_are_no_probabilities(name):
    with pytest.raises(NotMeasurableError, match="labels are not 0 and 1"):
        METRICS[name](np.array([0, 2]), np.array([0.1, 0.2]))
    with pytest.raises(NotMeasurableError, match="no probabilities"):
        METRICS[name](np.array([0, 1]), np.array([-2.0, 3.0]))


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "log_loss", "brier"])
def test_one_class_is_not_enough(name):
    with pytest.raises(NotMeasurableError, match="all 2 rows have the label 1"):
        METRICS[name](np.array([1, 1]), np.array([0.1, 0.2]))
