"""CSV: whatever it holds nothing is lost, and what was written is what is read."""

from __future__ import annotations

import csv
import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.adapters.feedback_csv import read_csv, typed
from airflow_ai_provider.core.feedback.source import SourceRecord

CELLS = st.text('ab1-.,;"\n\r\té ', max_size=6)
PIECES = st.sampled_from(
    [b"a,b\n", b'"', b",", b"\n", b"\r\n", b"x", b'""', b"\xff", b"\x00", b'"q",1\n', b"\r"]
)


def read(data: bytes) -> list[SourceRecord]:
    return list(read_csv(io.BytesIO(data), "in.csv", {}, max_line=10_000))


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=6))
def test_what_a_writer_wrote_is_read(rows: list[list[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([["a", "b"], *rows])
    found = read(text.getvalue().encode())
    assert [[r.raw["a"], r.raw["b"]] for r in found] == rows
    assert all(record.problem is None for record in found)


@given(st.lists(PIECES, max_size=30).map(b"".join))
def test_no_line_is_lost_whatever_stands_there(data: bytes) -> None:
    found = read(b"number,text\n" + data)
    places = [int(record.place.removeprefix("line ")) for record in found]
    assert places == sorted(set(places))
    kept = b"".join(_bytes(record) for record in found)
    words = (b"x", b"q", b"1", b"\xff", b"\x00")
    assert {word: kept.count(word) for word in words} == {w: data.count(w) for w in words}


def _bytes(record: SourceRecord) -> bytes:
    if isinstance(record.raw, bytes):
        return record.raw
    return "".join(record.raw.values()).encode()


@given(st.dictionaries(st.sampled_from(["score", "value", "label", "other"]), CELLS))
def test_a_cell_is_a_number_only_where_one_is_meant(cells: dict[str, str]) -> None:
    found: dict[str, Any] = typed(cells, {})
    assert found.keys() == {name for name, cell in cells.items() if cell != ""}
    for name, value in found.items():
        same = value if isinstance(value, str) else None
        assert same == cells[name] or float(value) == float(cells[name])
    assert isinstance(found.get("other", ""), str)


def test_a_quote_that_is_never_closed_takes_only_its_own_line() -> None:
    rows = b"".join(b"%d,fine\n" % number for number in range(3000))
    found = read(b'number,text\n"0,never closed\n' + rows)
    assert len(found) == 3001
    assert [record.place for record in found if record.problem] == ["line 2"]
