"""What a model's answers are worth, in whatever form it gives them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from airflow_ai_provider.core.promotion.importance import answer_error, permutation_importance

LABEL = np.array([0, 1, 1, 0])


@pytest.mark.parametrize(
    ("observed", "answers", "error"),
    [
        (LABEL, [0.0, 1.0, 0.5, 0.0], 0.0625),
        (LABEL, [[1, 0], [0, 1], [0.5, 0.5], [1, 0]], 0.0625),
        (LABEL, [[0.0], [1.0], [0.5], [0.0]], 0.0625),
        (LABEL, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], 0.5),
        (LABEL, [True, True, True, False], 0.25),
        (np.array(["a", "b"]), ["a", "a"], 0.5),
        (np.array(["a", "b"]), [[0.1, 0.9], [0.2, 0.8]], None),
        (np.array([0.5, 1.0]), [[0.1, 0.9], [0.2, 0.8]], None),
        (np.array([0, 3]), [[0.1, 0.9], [0.2, 0.8]], None),
        (np.array([0, -1]), [[0.1, 0.9], [0.2, 0.8]], None),
        (LABEL, np.zeros((4, 2, 2)), None),
    ],
)
def test_the_error_of_answers(observed, answers, error):
    assert answer_error(observed, answers) == (error if error is None else pytest.approx(error))


def probabilities(frame):
    sure = (frame["distance"] > 3).to_numpy(dtype=float)
    return np.column_stack([1 - sure, sure])


def test_what_a_model_needs_is_found_by_its_probabilities():
    frame = pd.DataFrame({"distance": np.arange(700) % 7, "noise": np.arange(700) % 5})
    label = (frame["distance"] > 3).astype(float)
    label[:100] = np.nan
    found = permutation_importance(probabilities, frame, label)
    assert found["noise"] == 0
    assert 0.35 < found["distance"] < 0.65


def test_without_labels_or_with_other_answers_there_is_none():
    frame = pd.DataFrame({"distance": [1, 5]})
    assert permutation_importance(probabilities, frame, pd.Series([np.nan, np.nan])) == {}
    assert permutation_importance(probabilities, frame, pd.Series(["late", "early"])) == {}
