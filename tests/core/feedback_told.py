"""Feedback as a source may tell it: plain, odd and hostile, and what the parser makes of a line."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from hypothesis import strategies as st

from airflow_ai_provider.core.errors import FeedbackRecordError
from airflow_ai_provider.core.feedback.parse import MAX_ID, MAX_LABEL, parse
from airflow_ai_provider.core.feedback.quick import row_of
from airflow_ai_provider.core.feedback.record import SourceKind

LATEST = datetime(2030, 1, 1, tzinfo=timezone.utc)
PLAIN: dict[str, Any] = {
    "feedback_id": "f1",
    "model_name": "flight_delays",
    "observed_at": "2013-04-01T15:12:00Z",
    "label": 1,
    "prediction_id": "2013-04-01 UA 1545 EWR",
    "model_version": "7",
    "partition": "2013-04",
    "source": "bts",
    "source_kind": "outcome",
}
FULL = {
    **PLAIN,
    "value": 12.25,
    "score": 4,
    "comment": 'späte ✈ \n"x" \\ \x7f',
    "attributes": {"tail": "N1", "stops": 2, "share": 0.1, "late": True},
    "carrier": "UA",
}

numbers = st.one_of(
    st.integers(-(10**20), 10**20),
    st.integers(-5, 5),
    st.floats(),
    st.floats(1e-6, 1e18),
    st.sampled_from([0.0, -0.0, 1e-4, 9.999e-5, 1e16, 2.0**53, 1e15 + 0.5, 5e-324, 1.5, 4.0]),
)
texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.text(st.characters(), max_size=4),
    st.sampled_from(["", " ", " a", "a ", "\u00a0", "\u2028", "a\x00", "\x7f", "\ud800", "=1+1"]),
    st.sampled_from(["x" * MAX_ID, "x" * (MAX_ID + 1), "x" * MAX_LABEL, "x" * (MAX_LABEL + 1)]),
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
moments = st.one_of(
    st.datetimes(timezones=st.timezones() | st.just(timezone.utc)).map(datetime.isoformat),
    st.datetimes(datetime(2013, 1, 1), datetime(2030, 6, 1)).map(  # noqa: DTZ001
        lambda moment: moment.isoformat(timespec="milliseconds") + "Z"
    ),
    st.sampled_from([
        "2013-04-01T15:12Z", "2013-04-01T15:12+00:00", "2013-04-01 15:12:00Z", "20130401T151200Z",
        "2013-W14-1T15:12:00Z", "2013-04-01T15:12:00z", "2013-04-01T15:12:00-00:00",
        "2013-04-01T24:00:00Z", "2013-04-01T15:12:60Z", "2013-04-01T15:12:00.5Z",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+05:00", "2013-04-01T15:12:00.1234567Z", "2013-04-01T15:12:00+0400",
        "2013-04-01T15:12:00,123Z", "\uff12013-04-01T15:12:00Z", "2013-04-01T15:12:00+01:00Z",
        "", "Z",
    ]),
)  # fmt: skip
told = st.fixed_dictionaries(
    {},
    optional={
        "feedback_id": texts | values,
        "model_name": texts | values,
        "model_version": texts | numbers,
        "observed_at": moments | values,
        "label": values,
        "value": numbers | values,
        "score": numbers | values,
        "source_kind": st.sampled_from([kind.value for kind in SourceKind]) | values,
        "comment": texts | values,
        "attributes": st.dictionaries(texts, texts | numbers | st.booleans(), max_size=3) | values,
        "carrier": values,
    },
)


def by_the_book(line: bytes, **options: Any) -> tuple[Any, ...] | None:
    """Return the row that the parser's record becomes, None when it is refused."""
    try:
        return row_of(parse(json.loads(line.decode()), **options))
    except (FeedbackRecordError, ValueError, RecursionError):
        return None
