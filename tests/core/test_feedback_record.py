from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import FeedbackError, FeedbackRecordError
from airflow_ai_provider.core.feedback.parse import MAX_ID, parse, read_mapping
from airflow_ai_provider.core.feedback.record import FIELDS, SourceKind
from airflow_ai_provider.core.gate import canonical

GOOD = {
    "feedback_id": "f1",
    "model_name": "flight_delays",
    "observed_at": "2013-04-01T15:12:00-04:00",
    "label": 1,
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
surrogates = st.text(st.characters(categories=["Cs", "Cc", "L", "So"]), max_size=5)


def bad(**changes: Any) -> str:
    with pytest.raises(FeedbackRecordError) as error:
        parse({**GOOD, **changes}, not_after=datetime(2030, 1, 1, tzinfo=timezone.utc))
    return error.value.message


def test_a_full_record_is_read_field_by_field() -> None:
    record = parse(
        {
            **GOOD,
            "value": 12.5,
            "score": 4,
            "prediction_id": "p1",
            "model_version": 3,
            "partition": "2013-04",
            "source": "bts",
            "source_kind": "outcome",
            "comment": "landed",
            "attributes": {"tail": "N1"},
            "carrier": "UA",
            "gate": None,
        }
    )
    assert record.observed_at == datetime(2013, 4, 1, 19, 12, tzinfo=timezone.utc)
    assert (record.label, record.label_number, record.value, record.score) == (1, 1.0, 12.5, 4.0)
    assert (record.prediction_id, record.model_version, record.partition) == ("p1", "3", "2013-04")
    assert record.source_kind is SourceKind.OUTCOME
    assert record.attributes == {"tail": "N1", "carrier": "UA"}


def test_a_person_says_it_unless_said_otherwise() -> None:
    assert parse(GOOD).source_kind is SourceKind.PERSON


@pytest.mark.parametrize(
    ("label", "number", "text"),
    [
        ("late", None, '"late"'),
        (True, 1.0, "true"),
        (False, 0.0, "false"),
        (7, 7.0, "7"),
        (0.25, 0.25, "0.25"),
        (1.0, 1.0, "1"),
    ],
)
def test_a_label_is_a_name_a_truth_value_or_a_number(
    label: Any, number: float | None, text: str
) -> None:
    record = parse({**GOOD, "label": label})
    assert (record.label, record.label_number, record.label_json) == (label, number, text)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"feedback_id": None}, "feedback_id is missing"),
        ({"feedback_id": "  "}, "feedback_id is empty"),
        ({"feedback_id": ["x"]}, "feedback_id must be a text"),
        ({"feedback_id": True}, "feedback_id must be a text"),
        ({"feedback_id": "a\x00b"}, "control characters"),
        ({"feedback_id": "x" * (MAX_ID + 1)}, "characters"),
        ({"feedback_id": "\ud800"}, "surrogate"),
        ({"model_name": None}, "model_name is missing"),
        ({"observed_at": None}, "observed_at is missing"),
        ({"observed_at": "2013-04-01T15:12:00"}, "no time zone"),
        ({"observed_at": "2013-04-01"}, "no ISO 8601 moment"),
        ({"observed_at": "2013-02-30T00:00:00Z"}, "no moment"),
        ({"observed_at": 1364828400}, "must be an ISO 8601 text"),
        ({"observed_at": "9999-12-31T23:59:59-05:00"}, "no moment"),
        ({"observed_at": "0001-01-01T00:00:00+05:00"}, "no moment"),
        ({"observed_at": "9999-12-31T00:00:00Z"}, "in the future"),
        ({"observed_at": datetime(2013, 4, 1)}, "no time zone"),  # noqa: DTZ001
        ({"observed_at": "2013-04-01T15:12:00+99:00"}, "no moment"),
        ({"observed_at": "x" * 100_000}, "no ISO 8601 moment"),
        ({"label": None}, "one of label, value and score"),
        ({"label": math.nan}, "not a finite number"),
        ({"label": math.inf}, "not a finite number"),
        ({"label": 10**400}, "too large"),
        ({"label": " "}, "label is empty"),
        ({"label": "x" * 2000}, "label has 2000"),
        ({"label": {"a": 1}}, "label must be a number"),
        ({"value": "12"}, "value must be a number"),
        ({"value": True}, "value must be a number"),
        ({"score": 0}, "between 1 and 5"),
        ({"score": 5.1}, "between 1 and 5"),
        ({"score": "4"}, "score must be a number"),
        ({"source_kind": "robot"}, "source_kind must be one of"),
        ({"source_kind": ["person"]}, "source_kind must be one of"),
        ({"comment": 5}, "comment must be a text"),
        ({"comment": "a\x00"}, "NUL"),
        ({"comment": "\udfff"}, "surrogate"),
        ({"attributes": [1]}, "attributes must be a JSON object"),
        ({"attributes": {"x": 1}, "x": 2}, "stands in attributes and beside it"),
    ],
)
def test_what_does_not_fit_says_why(changes: dict[str, Any], reason: str) -> None:
    assert reason in bad(**changes)


@pytest.mark.parametrize("raw", [None, 5, "text", [GOOD], b"bytes"])
def test_a_record_is_an_object(raw: Any) -> None:
    with pytest.raises(FeedbackRecordError, match="a record is a JSON object"):
        parse(raw)


def test_a_record_nested_beyond_reason_is_refused() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert "nested too deeply" in bad(attributes={"deep": deep})
    while isinstance(deep, list):  # unwound by hand: freeing it in one go would recurse
        deep = deep[0]


def test_a_comment_of_ten_megabytes_is_kept_whole() -> None:
    comment = "=SUM(A1)'; DROP TABLE feedback; --" * 300_000
    assert parse({**GOOD, "comment": comment}).comment == comment


@pytest.mark.parametrize(
    "text",
    [
        "2013-04-01T19:12:00Z",
        "2013-04-01 19:12:00 Z",
        "2013-04-01t15:12-0400",
        "2013-04-01T15:12:00.000000-04",
        "2013-04-01T19:12:00,000000000+00:00",
    ],
)
def test_moments_are_read_in_every_spelling_of_iso_8601(text: str) -> None:
    assert parse({**GOOD, "observed_at": text}).content_hash == parse(GOOD).content_hash


def test_the_mapping_names_the_fields_of_a_source() -> None:
    raw = {"review": 7, "model_name": "m", "when": "2013-04-01T00:00:00Z", "stars": 4}
    mapping = read_mapping(
        {
            "feedback_id": "review",
            "prediction_id": "review",
            "observed_at": "when",
            "score": "stars",
        }
    )
    record = parse({**raw, "feedback_id": "theirs"}, mapping=mapping)
    assert (record.feedback_id, record.prediction_id, record.score) == ("7", "7", 4.0)
    assert record.attributes == {"feedback_id": "theirs"}


@pytest.mark.parametrize("mapping", [{"stars": "score"}, {"score": ""}])
def test_a_mapping_that_means_nothing_is_an_error(mapping: dict[str, str]) -> None:
    with pytest.raises(FeedbackError):
        read_mapping(mapping)


def test_the_model_of_records_that_name_none() -> None:
    raw = {name: value for name, value in GOOD.items() if name != "model_name"}
    assert parse(raw, model_name="m").model_name == "m"
    assert parse(GOOD, model_name="m").model_name == "flight_delays"


def test_the_same_content_has_the_same_hash_however_it_is_written() -> None:
    told = {**GOOD, "label": 1.0, "comment": None, "attributes": {"b": None, "a": 1}}
    assert parse(told).content_hash == parse({**GOOD, "a": 1}).content_hash


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "attributes"])
def test_every_field_is_under_the_hash(name: str) -> None:
    full = parse({**GOOD, **dict.fromkeys(("prediction_id", "source", "comment"), "x")})
    other: dict[str, Any] = {
        "observed_at": full.observed_at + timedelta(microseconds=1),
        "source_kind": SourceKind.SYSTEM,
        "value": 0.5,
        "score": 2.0,
    }
    changed = replace(full, **{name: other.get(name, "other")})
    assert changed.content_hash != full.content_hash


@given(st.dictionaries(st.text(), json_values, max_size=4), st.floats(allow_nan=False))
@settings(max_examples=30, deadline=None)
@example(attributes={}, number=2.0**53)
def test_the_quick_hash_is_the_one_by_the_book(attributes: dict[str, Any], number: float) -> None:
    try:
        record = parse({**GOOD, "value": number, "attributes": attributes})
    except FeedbackRecordError:
        return
    by_the_book = canonical(record._content())
    assert record.content_hash == hashlib.sha256(by_the_book).hexdigest()
    if record.attributes:
        assert json.loads(record.attributes_json or "") is not None


@given(
    st.dictionaries(
        st.sampled_from(FIELDS) | st.text(max_size=3), json_values | surrogates, max_size=14
    )
)
@settings(max_examples=40, deadline=None)
def test_nothing_crashes_the_parser(raw: dict[str, Any]) -> None:
    read_or_refuse(raw)
    read_or_refuse({**GOOD, **raw})
    read_or_refuse({**raw, **GOOD})


def read_or_refuse(document: dict[str, Any]) -> None:
    try:
        record = parse(document)
    except FeedbackRecordError:
        return
    assert len(record.content_hash) == 64
    assert record.attributes_json is None or record.attributes_json.encode()
