"""A function that is sent away does there what it does here."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import FunctionNotPortableError
from airflow_ai_provider.core.gpu.shipping import ship
from airflow_ai_provider.trainer import UsageError, shipped

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)  # fmt: skip


def echo(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def recursive(n: int) -> int:
    return 1 if n == 0 else n * recursive(n - 1)


@given(st.lists(values, max_size=3), st.dictionaries(st.from_regex(r"\A[a-z]{1,5}\Z"), values))
def test_it_gets_the_arguments_that_it_was_given(args: list[Any], kwargs: dict[str, Any]) -> None:
    function, given, named = shipped(ship(echo, args, kwargs))
    assert function(*given, **named) == (tuple(args), kwargs)


def test_it_may_call_itself_and_has_no_decorator() -> None:
    def decorated(function: Any) -> Any:
        return function

    @decorated  # of a name that is not there
    def count() -> int:
        return sum(len(word) for word in ["a", "bc"])

    for function, args, result in ((recursive, [4], 24), (count, [], 3)):
        there, given, named = shipped(ship(function, args, {}))
        assert there(*given, **named) == result


def test_what_cannot_be_sent_is_said() -> None:
    outside = 3

    def closure() -> int:
        return outside

    async def later() -> int:
        return 1

    for function, args, said in (
        (closure, [], "uses outside"),
        (lambda: 1, [], "no plain function"),
        (later, [], "no plain function"),
        (len, [], "no source"),
        (echo, [threading.Lock()], "cannot be sent"),
        (
            echo,
            [threading.get_ident().to_bytes(8) * 3 + __import__("os").urandom(200_000)],
            "bytes",
        ),
    ):
        with pytest.raises(FunctionNotPortableError, match=said):
            ship(function, args, {})


def test_nothing_sent_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="MODULE:FUNCTION"):
        shipped(None)
