"""``parse_strings_as_datetimes`` of 0.18: texts are compared as the times that dateutil reads.

Great Expectations 1.x has no such argument; up to 0.18 its pandas engine ran ``dateutil.parser`` on
each text and on the bounds, which is the reference here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from dateutil.parser import parse
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_ai_provider.adapters.frames import open_frame
from airflow_ai_provider.core.quality.check import Outcome
from airflow_ai_provider.core.quality.compiler import compile_suite
from airflow_ai_provider.core.quality.suite import parse_suite
from airflow_ai_provider.services.quality_look import Look

BOUNDS = ["2013-01-02", "2013-01-02 00:00:00", "2013-01-01T12:30:00", "2013-01-03"]

days = st.dates(min_value=datetime(2012, 12, 30).date(), max_value=datetime(2013, 1, 5).date())  # noqa: DTZ001
times = st.datetimes(min_value=datetime(2012, 12, 30), max_value=datetime(2013, 1, 5))  # noqa: DTZ001
written = st.one_of(
    st.none(),
    days.map(str),
    times.map(str),
    times.map(lambda t: t.isoformat()),
    times.map(lambda t: t.strftime("%Y-%m-%d %H:%M")),
)
odd = st.one_of(
    times.map(lambda t: t.isoformat() + "Z"),
    times.map(lambda t: f"{t}+02:00"),
    times.map(lambda t: t.strftime("%d.%m.%Y")),
    times.map(lambda t: t.strftime("%Y%m%d")),
    times.map(lambda t: f" {t} "),
    st.text(alphabet="0123456789-: T.Z+", max_size=20),
)


def judged(texts: list[str | None], kwargs: dict[str, Any]) -> Outcome:
    suite = parse_suite(
        {
            "name": "s",
            "expectations": [
                {
                    "type": "expect_column_values_to_be_between",
                    "kwargs": {"column": "x", "parse_strings_as_datetimes": True, **kwargs},
                }
            ],
        }
    )
    with open_frame(pa.table({"x": pa.array(texts, pa.string())})) as data:
        [check] = compile_suite(suite, data.columns, count=data.count).checks
        return check.judge(Look(suite, data).facts(_plan(suite, data)))


def _plan(suite: Any, data: Any) -> Any:
    return compile_suite(suite, data.columns, count=data.count)


def unexpected(texts: list[str | None], kwargs: dict[str, Any]) -> int | None:
    """Return how many lie outside, by dateutil; None where it cannot compare them."""
    low, high = (parse(kwargs[n]) if n in kwargs else None for n in ("min_value", "max_value"))
    found = 0
    try:
        for text in texts:
            if text is None:
                continue
            moment = parse(text)
            above = low is None or (moment > low if kwargs.get("strict_min") else moment >= low)
            below = high is None or (moment < high if kwargs.get("strict_max") else moment <= high)
            found += not (above and below)
    except (ValueError, OverflowError, TypeError):
        return None
    return found


limits = st.fixed_dictionaries(
    {"min_value": st.sampled_from(BOUNDS)},
    optional={
        "max_value": st.sampled_from(BOUNDS),
        "strict_min": st.booleans(),
        "strict_max": st.booleans(),
    },
)


@settings(max_examples=80, deadline=None)
@given(st.lists(written, max_size=8), limits)
def test_texts_in_iso_8601_are_compared_as_dateutil_reads_them(
    texts: list[str | None], kwargs: dict[str, Any]
) -> None:
    outcome = judged(texts, kwargs)
    assert outcome.unsure is None
    assert outcome.result is not None
    assert outcome.result["unexpected_count"] == unexpected(texts, kwargs)


@settings(max_examples=120, deadline=None)
@given(odd, limits)
@example("2013-01-02 01:00:00+02:00", {"min_value": "2013-01-02"})
@example("2013-01-02T01:00:00Z", {"min_value": "2013-01-02"})
def test_other_texts_are_compared_so_or_not_at_all(text: str, kwargs: dict[str, Any]) -> None:
    outcome = judged([text], kwargs)
    if outcome.unsure is None:
        assert outcome.result is not None
        assert outcome.result["unexpected_count"] == unexpected([text], kwargs)


@pytest.mark.parametrize("text", ["soon", "", "2013-02-30"])
def test_what_is_no_time_is_not_judged(text: str) -> None:
    assert "no times" in str(judged([text, "2013-01-01"], {"min_value": "2013-01-01"}).unsure)
