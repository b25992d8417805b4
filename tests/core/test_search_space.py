"""The space of a search, as a DAG declares it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import SearchError
from airflow_ai_provider.core.search_space import space_of


def test_a_space_is_read() -> None:
    rate, layers, kind = space_of(
        {
            "rate": {"low": 1e-5, "high": 1, "log": True},
            "layers": {"low": 2, "high": 8, "step": 2},
            "kind": ["adam", "sgd", None],
        }
    )
    assert (rate.name, rate.low, rate.high, rate.log, rate.is_whole) == (
        "rate",
        1e-5,
        1,
        True,
        False,
    )
    assert (layers.step, layers.is_whole, layers.choices) == (2, True, ())
    assert kind.choices == ("adam", "sgd", None)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([], "no list of texts"),
        ([{}], "no list of texts"),
        ("adam", "neither a list nor"),
        (3, "neither a list nor"),
        ({"low": 1}, "high is None"),
        ({"low": 1, "high": True}, "high is True"),
        ({"low": 1, "high": float("inf")}, "high is inf"),
        ({"low": 2, "high": 1}, "low is 2 and high is 1"),
        ({"low": 0, "high": 1, "log": True}, "must be above 0"),
        ({"low": 1, "high": 2, "log": True, "step": 1}, "exclude each other"),
        ({"low": 1, "high": 2, "step": 0}, "step is 0"),
        ({"low": 1, "high": 2, "step": 0.5}, "step is 0.5"),
        ({"low": 1, "high": 2, "size": 3}, "size, which means nothing"),
    ],
)
def test_what_means_nothing_is_said_with_its_name(said: Any, why: str) -> None:
    with pytest.raises(SearchError, match=f"wrong at 'p'.*{why}"):
        space_of({"p": said})


@pytest.mark.parametrize("none", [None, {}, [], "x"])
def test_no_space_is_said(none: Any) -> None:
    with pytest.raises(SearchError, match="has no space"):
        space_of(none)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["low", "high", "step", "log", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), _JSON, max_size=3))
def test_whatever_is_said_is_read_or_refused(document: dict[str, Any]) -> None:
    try:
        space = space_of(document)
    except SearchError:
        return
    assert [dimension.name for dimension in space] == list(document)
    assert all(d.choices or d.low <= d.high for d in space)
