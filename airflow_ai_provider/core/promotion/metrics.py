"""Metrics of a classifier, or of a model that answers numbers, on held-out rows.

All take the observed labels and the scores and return one number. What cannot be measured is a
``NotMeasurableError`` with the reason, never a NaN: a gate must not pass because it could not look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
_BINS = 10
_MOST_CLASSES = 100
_EPSILON = float(np.finfo(np.float64).eps)


class NotMeasurableError(ValueError):
    """A metric has no value on these rows; the message says why, as the end of a sentence."""


def roc_auc(label: Array, score: Array) -> float:
    """Return the area under the ROC curve: how often a positive row outranks a negative one."""
    positives, negatives = _cumulated(*probabilities(label, score))
    heights = (positives + np.concatenate(([0.0], positives[:-1]))) / 2
    widths = np.diff(negatives, prepend=0.0)
    return float(heights @ widths / (positives[-1] * negatives[-1]))


def average_precision(label: Array, score: Array) -> float:
    """Return the average precision: the step-wise area under precision over recall."""
    positives, negatives = _cumulated(*probabilities(label, score))
    precision = positives / (positives + negatives)
    return float(precision @ np.diff(positives, prepend=0.0) / positives[-1])


def log_loss(label: Array, score: Array) -> float:
    """Return the mean negative log-likelihood."""
    return float(np.mean(row_log_loss(*probabilities(label, score))))


def brier(label: Array, score: Array) -> float:
    """Return the mean squared error of the probabilities."""
    return float(np.mean(row_brier(*probabilities(label, score))))


def ece(label: Array, score: Array) -> float:
    """Return the expected calibration error over ten bins of equal count."""
    bins = calibration_bins(label, score)
    return sum(abs(found - said) * count for count, said, found in bins) / len(label)


def calibration_bins(label: Array, score: Array) -> list[tuple[int, float, float]]:
    """Return rows, mean score and rate of the label in each of ten bins of equal count."""
    label, score = probabilities(label, score, both_classes=False)
    order = np.argsort(score, kind="stable")
    bins = np.array_split(order, min(_BINS, len(order)))
    return [(len(b), float(score[b].mean()), float(label[b].mean())) for b in bins]


def accuracy(label: Array, score: Array) -> float:
    """Return the share of rows read right.

    The score is the predicted class, or for labels 0 and 1 a probability, cut at one half.
    """
    return float(np.mean(row_accuracy(*usable(label, score))))


def mae(label: Array, score: Array) -> float:
    """Return the mean absolute error."""
    return float(np.mean(row_absolute(*usable(label, score))))


def rmse(label: Array, score: Array) -> float:
    """Return the root of the mean squared error."""
    return float(np.sqrt(np.mean(row_squared(*usable(label, score)))))


METRICS: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": accuracy,
    "average_precision": average_precision,
    "brier": brier,
    "ece": ece,
    "log_loss": log_loss,
    "mae": mae,
    "rmse": rmse,
    "roc_auc": roc_auc,
}


def usable(label: Array, score: Array) -> tuple[Array, Array]:
    """Return label and score as floats.

    :raises NotMeasurableError: there are no rows, or some have no value.
    """
    if len(label) == 0:
        raise NotMeasurableError("there are no rows")
    if len(label) != len(score):
        raise NotMeasurableError(f"{len(label)} labels stand against {len(score)} scores")
    try:
        label, score = np.asarray(label, dtype=np.float64), np.asarray(score, dtype=np.float64)
    except (TypeError, ValueError):
        raise NotMeasurableError("labels or scores are no numbers") from None
    for name, values in (("label", label), ("score", score)):
        if missing := int(np.count_nonzero(~np.isfinite(values))):
            raise NotMeasurableError(f"{missing} of {len(values)} rows have no {name}")
    return label, score


def probabilities(label: Array, score: Array, *, both_classes: bool = True) -> tuple[Array, Array]:
    """Return label (0 or 1) and score (a probability) as floats.

    :raises NotMeasurableError: they are something else, or one class is absent.
    """
    label, score = usable(label, score)
    if not np.isin(label, (0.0, 1.0)).all():
        raise NotMeasurableError("labels are not 0 and 1")
    if score.min() < 0 or score.max() > 1:
        raise NotMeasurableError("scores are no probabilities between 0 and 1")
    if both_classes and label.min() == label.max():
        raise NotMeasurableError(f"all {len(label)} rows have the label {int(label[0])}")
    return label, score


def row_log_loss(label: Array, score: Array) -> Array:
    """Return each row's negative log-likelihood; probabilities stay off 0 and 1 by an epsilon."""
    clipped = np.clip(score, _EPSILON, 1 - _EPSILON)
    return np.asarray(-np.log(np.where(label == 1, clipped, 1 - clipped)))


def row_brier(label: Array, score: Array) -> Array:
    """Return each row's squared error."""
    return np.asarray((label - score) ** 2)


def row_absolute(label: Array, score: Array) -> Array:
    """Return each row's absolute error."""
    return np.asarray(np.abs(label - score))


def row_squared(label: Array, score: Array) -> Array:
    """Return each row's squared error, of any numbers."""
    return np.asarray((label - score) ** 2)


def are_classes(label: Array) -> bool:
    """Whether the labels are few whole numbers, as the numbers of classes are."""
    found = np.unique(np.asarray(label, dtype=np.float64))
    return len(found) <= _MOST_CLASSES and bool(np.array_equal(found, np.round(found)))


def row_accuracy(label: Array, score: Array) -> Array:
    """Return 1 for each row read right, else 0."""
    binary = np.isin(label, (0.0, 1.0)).all() and score.min() >= 0 and score.max() <= 1
    guess = (score >= 0.5).astype(np.float64) if binary else score
    return np.asarray(guess == label, dtype=np.float64)


def _cumulated(label: Array, score: Array) -> tuple[Array, Array]:
    """Return how many positive and negative rows score at least each score, the highest first."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    positives = np.cumsum(label[order])[ends]
    return positives, (ends + 1) - positives
