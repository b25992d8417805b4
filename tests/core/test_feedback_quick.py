"""The quick way says what the parser says, or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.feedback.quick import ROW, QuickRows, quick_json
from airflow_ai_provider.core.feedback.record import FIELDS
from airflow_ai_provider.store.schema import feedback
from tests.core.feedback_told import FULL, LATEST, PLAIN, by_the_book, told


def quick_rows(*lines: bytes, **options: Any) -> list[tuple[Any, ...]] | None:
    return QuickRows(**options).rows([quick_json(line) for line in lines])


def agree(*lines: bytes, **options: Any) -> None:
    whole = QuickRows(**options).lines(b"\n".join(lines))
    for rows in (quick_rows(*lines, **options), whole):
        if rows is not None:
            book = [by_the_book(line, **options) for line in lines]
            assert repr(rows) == repr(book)  # by repr: 1, 1.0 and True are equal, and 0.0 and -0.0


def test_a_row_has_the_columns_of_the_table() -> None:
    columns = [c.name for c in feedback.columns if c.name not in {"sequence", "batch_id"}]
    assert list(ROW) == columns


@given(told, st.booleans())
@settings(max_examples=300, deadline=None)
@example(changes={"label": '\x1f\x7f\u2028"\\/'}, ascii_only=False)
@example(changes={"attributes": {"a": 1}, "a": None}, ascii_only=False)
@example(changes={"attributes": {"a": 1}, "b": 2}, ascii_only=False)
@example(changes={"attributes": {"a\x01": "\b\f\x0b", "B": -0.0}}, ascii_only=False)
def test_the_quick_row_is_the_parsers(changes: dict[str, Any], ascii_only: bool) -> None:
    line = json.dumps({**PLAIN, **changes}, ensure_ascii=ascii_only).encode(
        "utf-8", "surrogatepass"
    )
    agree(line, not_after=LATEST)
    agree(line, json.dumps(PLAIN).encode(), line, not_after=LATEST)


@given(st.lists(told, min_size=2, max_size=4))
@settings(max_examples=100, deadline=None)
def test_many_rows_at_a_time_are_the_parsers(several: list[dict[str, Any]]) -> None:
    lines = [json.dumps({**PLAIN, **changes}).encode() for changes in several]
    agree(*lines, not_after=LATEST)
    plain = [line for line in lines if quick_rows(line, not_after=LATEST)]
    agree(*plain, not_after=LATEST)
    assert quick_rows(*plain, not_after=LATEST) is not None
    if plain:
        assert QuickRows(not_after=LATEST).lines(b"\r\n".join([*plain, b""])) is not None


@given(st.binary(max_size=12), st.integers(0, 200), st.integers(0, 12))
@settings(max_examples=150, deadline=None)
def test_damaged_lines_are_no_rows_of_their_own(noise: bytes, place: int, cut: int) -> None:
    line = json.dumps(FULL).encode()
    agree(line[:place] + noise + line[place + cut :], not_after=LATEST)


@pytest.mark.parametrize(
    "written",
    ["1e2", "1E400", "-1e400", "-0", "-0.0", "1.0", "1e-5", "123456789012345678901234567890",
     "9007199254740993", "9007199254740991", "9007199254740993.0", "18446744073709551616",
     "NaN", "Infinity", "01", "1.", ".5", "+1", "0x1", "1_000",
     "0.1000000000000000055511151231257827", "4.35", "2.5e-4", "1234567890123456.7", "true", "null",
     '"\\u00e9\\ud83d\\ude00"', '"\\ud800"',
     '"\\/"', '"\t"'],
)  # fmt: skip
@pytest.mark.parametrize("field", ["label", "value", "score", "attributes"])
def test_however_a_number_is_spelt(field: str, written: str) -> None:
    inner = f'{{"n": {written}}}' if field == "attributes" else written
    line = json.dumps({**PLAIN, field: "HERE"}).replace('"HERE"', inner).encode()
    agree(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"feedback_id": "a", "feedback_id": "b", "model_name": "m", "score": 4,'
        b' "observed_at": "2013-04-01T15:12:00Z"}',
        json.dumps(PLAIN).encode() + b",",
        json.dumps(PLAIN).encode()[:-1] + b",}",
        b"\xef\xbb\xbf" + json.dumps(PLAIN).encode(),
        json.dumps(PLAIN).encode() + b"\x0b\r\n",
        json.dumps([PLAIN]).encode(),
        b"[" * 100_000,
        b"",
    ],
)
def test_odd_lines(line: bytes) -> None:
    agree(line)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        FULL,
        {"label": "late", "source_kind": None, "comment": ""},
        {"label": None, "score": 3.5},
        {"observed_at": "2013-04-01T15:12:00.123456-04:00", "label": False},
        {"attributes": {}, "gate": None},
        {"attributes": None, "carrier": "UA"},
    ],
)
def test_what_is_plain_is_never_declined(changes: dict[str, Any]) -> None:
    line = json.dumps({**PLAIN, **changes}).encode()
    rows = quick_rows(line + b"\r\n", line, not_after=LATEST)
    assert rows == [by_the_book(line, not_after=LATEST)] * 2
    assert None not in rows
    quick = QuickRows(not_after=LATEST)
    for end in (b"", b"\n", b"\r\n"):
        assert quick.lines(line + b"\n" + line + end) == rows


@pytest.mark.parametrize("between", [b" ", b"", b"\n\n", b"\n \n", b"\x0b\n", b"\x00\n", b",\n"])
def test_lines_that_are_not_one_record_each_are_declined(between: bytes) -> None:
    line = json.dumps(PLAIN).encode()
    assert QuickRows().lines(line + between + line) is None
    cut = line.replace(b", ", b",\n", 1)
    assert QuickRows().lines(cut + b"\n" + line) is None
    assert QuickRows().lines(line) is not None


def test_a_mapping_and_a_model_mean_the_same() -> None:
    line = b'{"review": "7", "when": "2013-04-01T00:00:00Z", "stars": 4, "feedback_id": "theirs"}'
    options: dict[str, Any] = {
        "mapping": {"feedback_id": "review", "observed_at": "when", "score": "stars"},
        "model_name": "m",
    }
    assert quick_rows(line, **options) == [by_the_book(line, **options)] != [None]
    assert QuickRows(**options).lines(line) == quick_rows(line, **options)
    options["mapping"]["prediction_id"] = "review"
    assert quick_rows(line, **options) == [by_the_book(line, **options)] != [None]


def test_a_text_seen_often_is_looked_at_each_time_it_is_new() -> None:
    quick = QuickRows()
    assert quick.rows([PLAIN]) is not None
    assert quick.rows([]) == []
    assert quick.rows([[PLAIN]]) is None
    for name in ("model_name", "model_version", "partition", "source"):
        assert quick.rows([{**PLAIN, name: "a\x00b"}]) is None
        assert quick.rows([{**PLAIN, name: ["a"]}]) is None
    assert quick.rows([{**PLAIN, "observed_at": 5}]) is None


def test_every_field_of_the_contract_is_read() -> None:
    document = {**FULL, "label": "late"}
    assert set(FIELDS) <= set(document)
    quick = QuickRows()
    whole = quick.rows([document])
    for name in set(FIELDS) - {"feedback_id", "model_name", "observed_at"}:
        assert quick.rows([{**document, name: None}]) != whole
