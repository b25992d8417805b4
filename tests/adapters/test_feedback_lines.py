"""Lines are the same records in whatever blocks they come."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_ai_provider.adapters.feedback_files import read_records
from airflow_ai_provider.adapters.feedback_lines import LineBlock, line_blocks, read_line
from airflow_ai_provider.core.feedback.source import InPieces, SourceRecord, pieces_of

_PARTS = (b"{}", b'{"a": 1}', b" ", b"\n", b"\r\n", b"x", b"\xef\xbb\xbf", b"\xff", b"[" * 9, b"")


def one_by_one(data: bytes, max_line: int) -> Iterator[SourceRecord]:
    """Read lines as one would who knows nothing of blocks."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, 1):
        if len(line) >= max_line:
            problem = f"the line is longer than {max_line} bytes"
            yield SourceRecord(f"line {number}", line[:1000], None, problem)
        elif line.strip():
            yield read_line(f"line {number}", line.strip())


@given(
    st.lists(st.sampled_from(_PARTS), max_size=30).map(b"".join),
    st.integers(1, 40),
    st.integers(5, 30),
)
@settings(max_examples=300, deadline=None)
@example(data=b'\xef\xbb\xbf{"a": 1}', size=1, max_line=5)
@example(data=b"{}\n" + b"x" * 100 + b"\n{}", size=3, max_line=5)
@example(data=b"{}\n" + b"x" * 100, size=3, max_line=100)
@example(data=b"{}\n" + b"x" * 99 + b"\n{", size=50, max_line=100)
def test_blocks_hold_every_line_once(data: bytes, size: int, max_line: int) -> None:
    blocks = list(line_blocks(io.BytesIO(data), max_line, size=size))
    found = [record for block in blocks for record in block]
    wanted = list(one_by_one(data, max_line))
    said = [(r.place, r.document, r.problem) for r in found]
    assert said == [(r.place, r.document, r.problem) for r in wanted]
    assert all(block.data for block in blocks)
    parts = [part for block in blocks for part in block.parts(size)]
    assert [record for part in parts for record in part] == found
    assert b"".join(part.data for part in parts) == b"".join(block.data for block in blocks)


def test_the_rest_of_a_line_without_end_is_not_kept() -> None:
    data = b"{}\n" + b"x" * 10_000 + b"\n{}\n"
    blocks = list(line_blocks(io.BytesIO(data), 100, size=10))
    assert max(len(block.data) for block in blocks) <= 110
    assert [record.place for block in blocks for record in block] == ["line 1", "line 2", "line 3"]


def test_a_file_gives_its_records_one_by_one_or_in_blocks(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"{}\n[]\n")
    assert [record.place for record in read_records(str(file))] == ["line 1", "line 2"]
    [block] = pieces_of(read_records(str(file)))
    assert block == LineBlock(1, b"{}\n[]\n")
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    pieces = pieces_of(read_records(str(tmp_path / "in.csv")))
    assert [record.document["a"] for record in next(pieces)] == ["1"]
    assert not list(pieces)


def test_records_of_any_source_are_one_piece() -> None:
    records = [SourceRecord("1", b"", {}), SourceRecord("2", b"", {})]
    assert [list(piece) for piece in pieces_of(iter(records))] == [records]
    pieces = InPieces(iter([records[:1], [], records[1:]]))
    assert next(pieces) == records[0]
    assert list(pieces) == records[1:]
