"""What a smoke check is, and what an endpoint must answer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import PromotionError
from airflow_ai_provider.core.promotion.smoke import other_version, read_smoke, trouble_with

GOOD = {"url": "http://h/invocations", "inputs": [[1]]}


def check(**more):
    return read_smoke({**GOOD, **more})


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (None, "needs url and inputs"),
        ({"url": "http://h"}, "needs url and inputs"),
        ({"inputs": 1}, "needs url and inputs"),
        ({**GOOD, "uri": 1}, "has no uri"),
        ({**GOOD, "patience": "long"}, "patience is 'long'"),
        ({**GOOD, "max": float("nan")}, "max is nan"),
        ({**GOOD, "count": True}, "count is True"),
    ],
)
def test_what_means_nothing(said, message):
    with pytest.raises(PromotionError, match=message):
        read_smoke(said)


@pytest.mark.parametrize(
    ("more", "answer", "trouble"),
    [
        ({}, [0.5], None),
        ({}, {"predictions": ["cat"]}, None),
        ({}, {"predictions": [{"score": 0.5, "label": "cat"}]}, None),
        ({}, {"error": "x"}, "no predictions"),
        ({}, [], "no predictions"),
        ({}, [[]], "no predictions"),
        ({}, "x", "no predictions"),
        ({}, [None], "predicts None"),
        ({}, [[0.1], [float("nan")]], "predicts nan"),
        ({"count": 2}, [1], "1 predictions, not 2"),
        ({"min": 0, "max": 1}, [[0, 1], [0.5, 1.0]], None),
        ({"min": 0}, [-0.1], "predicts -0.1, below 0"),
        ({"max": 1}, [{"score": 1.1}], "predicts 1.1, above 1"),
        ({"max": 1}, ["cat"], "no number"),
        ({"max": 1}, [True], "no number"),
    ],
)
def test_what_is_wrong_with_an_answer(more, answer, trouble):
    found = trouble_with(check(**more), answer)
    assert found is None if trouble is None else trouble in found


def test_the_version_that_it_serves():
    assert other_version(check(), [1], "7") is None
    named = check(version_field="version")
    assert other_version(named, {"version": 7}, "7") is None
    assert other_version(named, {"version": "6"}, "7") == "it serves version 6, not 7"
    assert other_version(named, [1], "7") == "it serves version None, not 7"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=50)
@given(JSON, st.sampled_from([{}, {"min": 0.0}, {"max": 1.0, "count": 1}]))
def test_any_answer_is_judged(answer, more):
    trouble = trouble_with(check(**more), answer)
    assert trouble is None or trouble.startswith("it ")
