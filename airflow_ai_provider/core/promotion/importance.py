"""How much a model needs each of its inputs: what its error rises by when one is shuffled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from airflow_ai_provider.core.promotion.metrics import Array

_ROWS, _COLUMNS = 2000, 200


def permutation_importance(
    predict: Callable[[Any], Any], frame: Any, label: Any
) -> dict[str, float]:
    """Return how much the error rises when one input of ``frame`` is shuffled, for each.

    Of at most 2,000 rows that have a label, and 200 inputs. Empty where answers and labels cannot
    be compared, which says nothing against the model.
    """
    known = np.asarray(~label.isna()).nonzero()[0]
    random = np.random.default_rng(0)
    chosen = random.permutation(known)[:_ROWS]
    frame, observed = frame.iloc[chosen], np.asarray(label.iloc[chosen])
    whole = answer_error(observed, predict(frame)) if len(chosen) else None
    found: dict[str, float] = {}
    if whole is None:
        return found
    for column in list(frame.columns)[:_COLUMNS]:
        shuffled = frame.copy()
        shuffled[column] = frame[column].to_numpy()[random.permutation(len(frame))]
        error = answer_error(observed, predict(shuffled))
        if error is not None:
            found[str(column)] = error - whole
    return found


def answer_error(observed: Array, answers: Any) -> float | None:
    """Return the error of ``answers``; None where they cannot be compared with the labels.

    Numbers: the mean squared error. A column for each class 0, 1, ...: the Brier score, of two
    columns that of the second. Words: the share of wrong ones.
    """
    given = np.asarray(answers)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    try:
        label, said = observed.astype(np.float64), given.astype(np.float64)
    except (TypeError, ValueError):
        same_shape = given.shape == observed.shape
        return float(np.mean(given.astype(str) != observed.astype(str))) if same_shape else None
    if said.ndim == 1:
        return float(np.mean((label - said) ** 2))
    classes = label.astype(np.int64)
    if said.ndim != 2 or (classes != label).any() or not 0 <= classes.min() <= classes.max():
        return None
    if classes.max() >= said.shape[1]:
        return None
    if said.shape[1] == 2:
        return float(np.mean((label - said[:, 1]) ** 2))
    return float(np.mean(np.sum((np.eye(said.shape[1])[classes] - said) ** 2, axis=1)))
