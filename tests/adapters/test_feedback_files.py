from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_ai_provider.adapters.feedback_files import (
    SourceRecord,
    local_path,
    raw_text,
    read_records,
)
from airflow_ai_provider.adapters.spool import Spool
from airflow_ai_provider.core.errors import FeedbackSourceError
from airflow_ai_provider.core.feedback.parse import parse

ROW = (
    "SELECT 'f' || range AS feedback_id, 'm' AS model_name, range % 2 AS label,"
    " TIMESTAMPTZ '2013-04-01 15:12:00-04' AS observed_at, 1.5::DECIMAL(5, 2) AS value,"
    " NULL AS comment, {'a': range, 'when': DATE '2013-04-01'} AS attributes"
)


def read(path: Path) -> list[SourceRecord]:
    return list(read_records(str(path)))


def parquet(path: Path, select: str) -> Path:
    duckdb.sql(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path


def test_json_lines_are_read_with_their_places(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"a": "\xc3\xa9"}')
    assert [(r.place, r.document) for r in read(file)] == [
        ("line 1", {"a": 1}),
        ("line 4", {"a": "é"}),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"feedback_id": "f1", "lab', "no JSON"),
        (b"not json", "no JSON"),
        (b"\x00\x01\x02", "no JSON"),
        (b'{"a": "\xff"}', "no UTF-8"),
        ('{"a": "é"}'.encode("utf-16"), "no UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b"9" * 5000, "no JSON"),
        (b'{"a": "tab\there"}', "no JSON"),
    ],
)
def test_a_line_that_says_nothing_keeps_its_place(
    tmp_path: Path, line: bytes, problem: str
) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b'{"a": 1}\n' + line)
    first, second = read(file)
    assert first.problem is None
    assert second.place == "line 2"
    assert problem in (second.problem or "")
    raw_text(second.raw).encode()


def test_a_line_without_end_is_refused_and_the_next_is_read(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b'{"a": "' + b"x" * 5000 + b'"}\n{"a": 2}\n')
    found = list(read_records(str(file), max_line=1000))
    assert "longer than 1000 bytes" in (found[0].problem or "")
    assert (found[1].place, found[1].document) == ("line 2", {"a": 2})


def test_a_line_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps({"comment": "x" * 10_000_000}))
    assert len(read(file)[0].document["comment"]) == 10_000_000


def test_parquet_says_the_same_as_json(tmp_path: Path) -> None:
    file = parquet(tmp_path / "in.parquet", f"{ROW} FROM range(3)")
    found = read(file)
    assert [r.place for r in found] == ["row 1", "row 2", "row 3"]
    same: dict[str, Any] = {
        "feedback_id": "f1",
        "model_name": "m",
        "label": 1,
        "observed_at": "2013-04-01T19:12:00Z",
        "value": 1.5,
        "attributes": {"a": 1, "when": "2013-04-01"},
    }
    assert parse(found[1].document).content_hash == parse(same).content_hash


def test_parquet_is_known_by_its_first_bytes_too(tmp_path: Path) -> None:
    file = parquet(tmp_path / "in.data", f"{ROW} FROM range(2)")
    assert len(read(file)) == 2


def test_a_moment_without_zone_in_parquet_is_no_moment_with_one(tmp_path: Path) -> None:
    file = parquet(tmp_path / "in.parquet", "SELECT TIMESTAMP '2013-04-01 15:12:00' AS observed_at")
    assert read(file)[0].document["observed_at"].tzinfo is None


@pytest.mark.parametrize("kept", [0, 4, 200, -1])
def test_parquet_cut_short_is_an_error(tmp_path: Path, kept: int) -> None:
    whole = parquet(tmp_path / "whole.parquet", f"{ROW} FROM range(1000)").read_bytes()
    file = tmp_path / "cut.parquet"
    file.write_bytes(whole[:kept])
    with pytest.raises(FeedbackSourceError, match=r"cut\.parquet is no whole Parquet file"):
        read(file)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FeedbackSourceError, match="No such file"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(FeedbackSourceError, match="directory"):
        read(tmp_path)


def test_paths_and_file_urls_are_local(tmp_path: Path) -> None:
    assert local_path(f"file://{tmp_path}/a%20b.jsonl") == tmp_path / "a b.jsonl"
    assert local_path("/in/a.jsonl") == Path("/in/a.jsonl")
    with pytest.raises(FeedbackSourceError, match="s3://"):
        local_path("s3://bucket/a.jsonl")


def test_raw_records_become_text_whatever_they_hold() -> None:
    assert raw_text(b"a\xff\x00") == "a\\xff\\x00"
    assert raw_text({"a": float("nan"), "b": "\ud800"}).isascii()
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert raw_text(deep)


def test_the_spool_gives_back_what_it_took() -> None:
    rows = [(i, f"{i}", None, 0.5) for i in range(1234)]
    with Spool(piece=100, piece_bytes=1000) as spool:
        for row in rows:
            spool.add(row, weight=11)
        pieces = list(spool.pieces())
        assert spool.count == 1234
    assert [row for piece in pieces for row in piece] == rows
    assert max(map(len, pieces)) <= 100
    with Spool() as empty:
        assert list(empty.pieces()) == []
