"""Columns of a block are the rows that the parser makes of its lines, or there are none."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_ai_provider.adapters.feedback_columns import ColumnReader
from airflow_ai_provider.core.feedback.parse import MAX_ID, MAX_LABEL
from airflow_ai_provider.core.feedback.quick import ROW
from tests.core.feedback_told import FULL, LATEST, PLAIN, by_the_book, told

WHOLE = {name: value for name, value in FULL.items() if name not in {"attributes", "carrier"}}
ASCII = {**WHOLE, "comment": 'diverted to \\ "X"', "score": 4.5}
READER = ColumnReader(not_after=LATEST)


def rows(data: bytes, reader: ColumnReader = READER) -> list[tuple[Any, ...]] | None:
    batch = reader.batch(data)
    if batch is None:
        return None
    assert batch.schema.names == list(ROW)
    batch.validate(full=True)
    return list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def written(*documents: Any, ascii_only: bool = True) -> bytes:
    texts = (json.dumps(document, ensure_ascii=ascii_only) for document in documents)
    return "".join(text + "\n" for text in texts).encode("utf-8", "surrogatepass")


def agree(data: bytes, reader: ColumnReader = READER, **options: Any) -> bool:
    """Whether a block is taken in columns, which are then those of its lines."""
    found = rows(data, reader)
    if found is None:
        return False
    lines = data.removesuffix(b"\n").split(b"\n")
    book = [by_the_book(line, not_after=LATEST, **options) for line in lines]
    assert repr(found) == repr(book)  # by repr: 0.0 and -0.0 are equal
    return True


plain_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=9)
any_texts = st.text(st.characters(codec="utf-8"), max_size=5)
close_numbers = st.one_of(
    st.integers(-(2**54), 2**54),
    st.floats(-1e17, 1e17),
    st.floats(-6, 6),
    st.decimals(-1000, 1000, places=4).map(float),
    st.sampled_from([1e-4, 9e-5, 1e15, 1e15 + 0.5, 2.0**53, 0.0, -0.0, 1e22, 5e-324, 123456.789]),
)
nearly = st.fixed_dictionaries(
    {
        "feedback_id": plain_texts | any_texts,
        "observed_at": st.datetimes(datetime(1, 1, 1), datetime(2031, 1, 1)).map(  # noqa: DTZ001
            lambda moment: moment.isoformat(timespec="seconds") + "Z"
        ),
        "score": st.floats(0.9, 5.1) | st.integers(1, 5),
    },
    optional={
        "label": plain_texts,
        "value": close_numbers,
        "comment": plain_texts | any_texts | st.none(),
        "prediction_id": plain_texts,
        "model_version": plain_texts | st.none(),
        "partition": any_texts,
        "source": st.sampled_from(["bts", "", " ", "a b", "\x7f", "\u00a0", "\ud800"]),
        "source_kind": st.sampled_from(["person", "outcome", "system", "Person", "", None]),
    },
)


@given(told, st.booleans())
@settings(max_examples=150, deadline=None)
def test_whatever_a_source_tells(changes: dict[str, Any], ascii_only: bool) -> None:
    agree(written({**PLAIN, **changes}, PLAIN, ascii_only=ascii_only))


@given(st.lists(nearly, min_size=1, max_size=4), st.booleans())
@settings(max_examples=300, deadline=None)
def test_what_is_nearly_plain(several: list[dict[str, Any]], ascii_only: bool) -> None:
    documents = [{"model_name": "m", **document} for document in several]
    agree(written(*documents, ascii_only=ascii_only))


@given(st.lists(close_numbers, min_size=1, max_size=5))
@settings(max_examples=300, deadline=None)
def test_numbers_are_written_as_the_hash_wants_them(numbers: list[float]) -> None:
    agree(written(*({**PLAIN, "label": number} for number in numbers)))
    agree(written(*({**PLAIN, "value": number} for number in numbers)))


@given(st.binary(max_size=12), st.integers(0, 300), st.integers(0, 12))
@settings(max_examples=300, deadline=None)
@example(noise=b"}\n{", place=100, cut=0)
def test_damaged_blocks(noise: bytes, place: int, cut: int) -> None:
    data = written(WHOLE, ASCII)
    agree(data[:place] + noise + data[place + cut :])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        ASCII,
        {"comment": "späte ✈ \u2028 \x7f"},
        {"comment": "", "label": "late"},
        {"label": 'a "b" \\ c', "source_kind": None},
        {"label": True},
        {"label": None, "score": 3.5},
        {"value": -0.0001, "score": 5},
        {"value": 9007199254740991, "label": -12},
        {"value": 0.30000000000000004, "comment": None},
        {"observed_at": "0001-01-01T00:00:00Z"},
        {"observed_at": "2028-02-29T23:59:59Z", "feedback_id": "x" * MAX_ID},
        {"label": "x" * MAX_LABEL},
        {"label": "2013-04-01T15:12:00Z", "comment": "2013-04-01"},
    ],
)
def test_what_is_plain_is_taken(changes: dict[str, Any]) -> None:
    document = {**PLAIN, **changes}
    assert agree(written(document, document))
    assert agree(written(document))
    assert agree(written(document).removesuffix(b"\n"))


@pytest.mark.parametrize(
    "changes",
    [
        {"attributes": {"a": 1}},
        {"carrier": "UA"},
        {"feedback_id": 7},
        {"feedback_id": ""},
        {"feedback_id": " a"},
        {"feedback_id": "\u00e4"},
        {"feedback_id": "x" * (MAX_ID + 1)},
        {"model_name": None},
        {"observed_at": None},
        {"observed_at": "2013-02-30T00:00:00Z"},
        {"observed_at": "2013-04-01T24:00:00Z"},
        {"observed_at": "2013-04-01T15:12:00+00:00"},
        {"observed_at": "2030-01-01T00:00:01Z"},
        {"label": None},
        {"label": []},
        {"value": -0.0},
        {"value": 1e-5},
        {"value": "1"},
        {"value": True},
        {"score": 0.99},
        {"score": 5.01},
        {"comment": "a\nb"},
        {"comment": "a\x00"},
        {"comment": ["a"]},
        {"source_kind": "nobody"},
    ],
)
def test_what_is_not_plain_is_declined(changes: dict[str, Any]) -> None:
    assert rows(written({**PLAIN, **changes})) is None
    assert rows(written(PLAIN, {**PLAIN, **changes}, PLAIN)) is None


@pytest.mark.parametrize(
    "text",
    ["1e400", "-1e400", "1E400", "-0", "-0.0", "NaN", "Infinity", "01", "1.", ".5", "+1", "0x1",
     "1_000", "9007199254740993", "18446744073709551616", "1e-5", '"1"', "[1]", "{}"],
)  # fmt: skip
@pytest.mark.parametrize("field", ["label", "value", "score"])
def test_odd_numbers_are_declined_or_read_alike(field: str, text: str) -> None:
    line = json.dumps({**PLAIN, field: "HERE"}).replace('"HERE"', text).encode()
    agree(line + b"\n" + line + b"\n")


@pytest.mark.parametrize("text", ["1E5", "1e2", "1.0", "0.1000000000000000055511151231257827"])
def test_a_number_may_be_spelt_in_other_ways(text: str) -> None:
    line = json.dumps({**PLAIN, "value": "HERE"}).replace('"HERE"', text).encode()
    assert agree(line)


@pytest.mark.parametrize(
    "text",
    [r"\/", r"\u0041", r"\u00e4", r"\ud83d\ude00", r"\"\\"],
)
def test_escapes_in_comments_are_read(text: str) -> None:
    line = json.dumps({**PLAIN, "comment": "HERE"}).replace("HERE", text).encode()
    assert agree(line)


@pytest.mark.parametrize(
    "text", [r"\u0000", r"\n", r"\ud800", r"\udc00", r"\udc00\ud800", r"\x41", "\t", "\x01"]
)
@pytest.mark.parametrize("field", ["comment", "feedback_id", "label", "source"])
def test_escapes_that_are_not_plain_are_declined(field: str, text: str) -> None:
    line = json.dumps({**PLAIN, field: "HERE"}).replace("HERE", text).encode()
    assert rows(line) is None


@pytest.mark.parametrize(
    "data",
    [
        b"{0} {0}\n{0}\n", b"{0}{0}\n", b"{0}\n\n{0}\n", b" {0}\n", b"{0} \n", b"{0}\r\n{0}\r\n",
        b"\xef\xbb\xbf{0}\n", b"{0}\n[]\n", b"{0}\n{}\n", b"{0},\n{0}\n", b"[{0}]\n", b"\n{0}\n",
        b"{0}\n{0}\n\n", b"", b"\n", b"{0}\n{\"comment\":\n\"a\"}\n", b"{0}\n\x00\n{0}\n",
        b'{0}\n{"a": {}\n{}}\n', b"// a\n{0}\n", b"{0}\n{0", b"{0}\n}\n{\n{0}\n",
    ],
)  # fmt: skip
def test_lines_that_are_not_one_object_each_are_declined(data: bytes) -> None:
    assert rows(data.replace(b"{0}", json.dumps(PLAIN).encode())) is None


@pytest.mark.parametrize("first", ["null", '"a"', "1"])
@pytest.mark.parametrize("field", ["comment", "label", "value"])
def test_a_field_that_is_said_twice_is_declined(field: str, first: str) -> None:
    line = json.dumps({**PLAIN, field: 1 if field == "value" else "x"})
    line = line.replace("{", f'{{"{field}": {first}, ', 1)
    assert rows(line.encode()) is None


def test_invalid_text_is_declined() -> None:
    line = json.dumps({**PLAIN, "comment": "HERE"}).encode()
    for noise in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80"):
        assert rows(line.replace(b"HERE", noise)) is None
        assert rows(line.replace(b"f1", noise)) is None
    assert rows(line.replace(b"HERE", "ä".encode())) is not None


def test_a_mapping_and_a_model_mean_the_same() -> None:
    mapping = {"feedback_id": "review", "observed_at": "when", "score": "stars"}
    reader = ColumnReader(mapping=mapping, model_name="m", not_after=LATEST)
    line = b'{"review": "7", "when": "2013-04-01T00:00:00Z", "stars": 4}\n'
    assert agree(line * 3, reader, mapping=mapping, model_name="m")
    assert rows(line.replace(b"review", b"feedback_id"), reader) is None
    twice = ColumnReader(mapping={**mapping, "prediction_id": "review"}, model_name="m")
    assert rows(line, twice) is None


def test_the_moment_that_is_too_late_may_be_any_of_them() -> None:
    late = {**PLAIN, "observed_at": "2020-01-01T00:00:01Z"}
    reader = ColumnReader(not_after=datetime(2020, 1, 1, tzinfo=timezone.utc))
    assert rows(written(PLAIN, late, PLAIN), reader) is None
    assert rows(written(PLAIN, {**late, "observed_at": "2020-01-01T00:00:00Z"}), reader)
    assert rows(written(late), ColumnReader())
