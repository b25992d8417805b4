"""The published schema says what the parser does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import FeedbackRecordError
from airflow_ai_provider.core.feedback import json_schema
from airflow_ai_provider.core.feedback.parse import parse
from airflow_ai_provider.core.feedback.record import FIELDS

SCHEMA = json_schema.record_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
GOOD = {"feedback_id": "f1", "model_name": "m", "observed_at": "2013-06-10T00:00:00Z", "score": 4}

texts = st.one_of(
    st.text("a1 é\x00\x1f\x7f\x85\xa0\u2028\ufeff", max_size=5),
    st.sampled_from(["", " ", "\x00", "a\x07", "\x85", "\u2028", "x" * 251, "x" * 1001, "person"]),
)
numbers = st.one_of(
    st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False, width=32)
)
values = st.one_of(st.none(), st.booleans(), numbers, texts, st.just([]), st.just({"a": 1}))
moments = st.one_of(
    values,
    st.sampled_from(
        ["2013-06-10T00:00:00Z", "2013-06-10 00:00+02", "2013-06-10T00:00:00", "2013-06-10", "x"]
    ),
)


def fits(document: Any) -> bool:
    try:
        parse(document)
    except FeedbackRecordError:
        return False
    return True


def test_the_published_file_is_the_schema() -> None:
    file = Path(json_schema.__file__).with_name(json_schema.FILE)
    assert json.loads(file.read_text("utf-8")) == SCHEMA
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert tuple(sorted(SCHEMA["properties"])) == tuple(sorted(FIELDS))


@given(
    st.fixed_dictionaries(
        {}, optional={**dict.fromkeys([*FIELDS, "unknown"], values), "observed_at": moments}
    ),
    st.sets(st.sampled_from(list(GOOD))),
)
def test_what_fits_the_schema_fits_and_nothing_else(found: dict[str, Any], good: set[str]) -> None:
    document = {**found, **{name: GOOD[name] for name in good}}
    assert VALIDATOR.is_valid(document) == fits(document), list(VALIDATOR.iter_errors(document))


@pytest.mark.parametrize("number", [7, 7.0])
def test_an_id_that_is_a_whole_number_is_one_however_it_is_written(number: float) -> None:
    document = {**GOOD, "prediction_id": number}
    assert VALIDATOR.is_valid(document)
    assert parse(document).prediction_id == "7"


@pytest.mark.parametrize("moment", ["2013-02-30T00:00:00Z", "2013-06-10T25:00:00Z"])
def test_that_a_moment_is_real_is_left_to_the_parser(moment: str) -> None:
    document = {**GOOD, "observed_at": moment}
    assert VALIDATOR.is_valid(document)
    assert not fits(document)
