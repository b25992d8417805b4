"""Bounds that hold what was seen with room to spare, and shapes that all samples have."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timezone

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.quality.check import Outcome
from airflow_ai_provider.core.quality.regex import translate
from airflow_ai_provider.core.quality.suggest.margins import (
    count_bounds,
    number_bounds,
    share_below,
    time_bounds,
)
from airflow_ai_provider.core.quality.suggest.propose import MOST_VALUES, propose
from airflow_ai_provider.core.quality.suggest.seen import ColumnSeen, Kind, TableSeen
from airflow_ai_provider.core.quality.suggest.settle import LeftOut, settled
from airflow_ai_provider.core.quality.suggest.shapes import shape_of

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.one_of(FLOATS, st.integers(-(2**63), 2**63)), min_size=1, max_size=4))
def test_bounds_hold_what_was_seen(values: list[float]) -> None:
    least, most = min(values), max(values)
    low, high = number_bounds(least, most)
    assert low is None or low <= float(least)
    assert high is None or high >= float(most)
    if least >= 0:
        assert low == 0 or (low is not None and low > 0)
    for bound in (low, high):
        assert bound is None or math.isfinite(bound)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ((17, 4983), (0, 7000)),
        ((-86, 1272), (-500, 1700)),
        ((0.2, 0.9), (0, 1)),
        ((5, 5), (3, 7)),
        ((-3, 0), (-3.8, 0)),
        ((0, 0), (0, 1)),
        ((math.inf, 3), (None, None)),
        ((-1.7e308, 1.7e308), (None, None)),
    ],
)
def test_bounds_are_figures_a_person_would_write(
    seen: tuple[float, float], expected: object
) -> None:
    assert number_bounds(*seen) == expected


def test_times_have_whole_years_for_bounds() -> None:
    assert time_bounds(date(2013, 1, 1), date(2013, 12, 31)) == ("2012-01-01", "2015-01-01")
    moment = datetime(2013, 5, 1, tzinfo=timezone.utc)
    assert time_bounds(moment, moment)[0] == "2012-01-01T00:00:00+00:00"
    assert time_bounds(date(1, 1, 1), date(9999, 1, 1)) == (None, None)


@given(st.integers(1, 10**12))
def test_a_number_of_rows_may_halve_or_double(count: int) -> None:
    low, high = count_bounds(count)
    assert 1 <= low <= max(1, count // 2)
    assert high >= 2 * count


@given(st.floats(0, 1))
def test_the_share_that_must_be_there_leaves_room(share: float) -> None:
    assert 0 <= share_below(share) <= share


@settings(max_examples=40, deadline=None)
@given(st.lists(st.from_regex(r"\A[A-Z]{1,3}[-_/]?[0-9]{1,5}\Z"), min_size=1, max_size=20))
def test_a_shape_is_that_of_all_samples(values: list[str]) -> None:
    found = shape_of(values)
    assume(found is not None)
    _, pattern = found  # type: ignore[misc]
    assert all(re.search(pattern, value) for value in values)
    translate(pattern)  # what DuckDB is asked, too


@given(st.lists(st.text(max_size=12), min_size=1, max_size=6))
def test_any_texts_have_a_shape_of_their_own_or_none(values: list[str]) -> None:
    found = shape_of(values)
    if found:
        assert all(re.search(found[1], value) for value in values)


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        (["AB-1", "XY-123"], "^[A-Z]{2}[-][0-9]{1,3}$"),
        (["EWR", "JFK"], "^[A-Z]{3}$"),
        (["2024-01-02", "1999-12-31"], "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
        (["12:30", "23:59:01.5"], "^[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?$"),
        (["word", "longer"], None),
        (["a sentence of some words", "and another"], None),
        (["é1", "é2"], None),
        ([], None),
        (["", "A1"], None),
    ],
)
def test_shapes(values: list[str], pattern: str | None) -> None:
    found = shape_of(values)
    assert (found[1] if found else None) == pattern


def seen(**about: object) -> ColumnSeen:
    given_: dict[str, object] = {"name": "x", "kind": Kind.TEXT, "rows": 100, "present": 100}
    return ColumnSeen(**(given_ | about))  # type: ignore[arg-type]


def kinds_of(column: ColumnSeen) -> list[str]:
    entries = propose(TableSeen(rows=column.rows, columns=[column]))
    return [e["type"] for e in entries if e["kwargs"].get("column")]


def test_a_set_is_proposed_only_where_every_value_came_twice() -> None:
    often = {"a": 50, "b": 50}
    assert "expect_column_values_to_be_in_set" in kinds_of(seen(domain=often, sample=["a"] * 9))
    for domain in ({"a": 99, "b": 1}, {str(i): 2 for i in range(MOST_VALUES + 1)}, None):
        assert "expect_column_values_to_be_in_set" not in kinds_of(seen(domain=domain))
    personal = seen(domain=often, personal="names", shortest=1, longest=2)
    assert "expect_column_values_to_be_in_set" not in kinds_of(personal)


def test_nothing_is_proposed_for_a_column_without_values() -> None:
    assert kinds_of(seen(present=0, types=("str",))) == []


BETWEEN = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "x", "min_value": 0},
    "severity": "critical",
    "meta": {"notes": "Seen."},
}


@given(st.integers(1, 1000), st.integers(0, 1000), st.integers(0, 100))
def test_what_some_rows_do_not_meet_is_loosened_or_left_out(
    considered: int, unexpected: int, missing: int
) -> None:
    assume(0 < unexpected <= considered)
    result = {
        "element_count": considered + missing,
        "missing_count": missing,
        "unexpected_count": unexpected,
    }
    found = settled(BETWEEN, Outcome(success=False, result=result))
    share = (considered - unexpected) / considered
    if isinstance(found, LeftOut):
        assert share < 0.91
        return
    assert 0.9 <= found["kwargs"]["mostly"] <= share
    assert found["severity"] == "warning"


@pytest.mark.parametrize(
    ("outcome", "said"),
    [("a reason", "a reason"), (None, "not judged"), (Outcome(unsure="huge"), "huge")],
)
def test_what_is_not_compiled_is_left_out_with_its_reason(outcome: object, said: str) -> None:
    found = settled(BETWEEN, outcome)  # type: ignore[arg-type]
    assert isinstance(found, LeftOut)
    assert said in found.reason
