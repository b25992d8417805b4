"""Data in files: what is read, and what is refused by name."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.adapters.data_files import find_files
from airflow_ai_provider.adapters.duckdb import open_data
from airflow_ai_provider.core.errors import DataReadError
from airflow_ai_provider.core.quality.regex import UnsupportedPatternError, translate
from tests.data_made import cut_short, damaged_inside, parquet, written


def seen(path: Path | str) -> list[tuple[object, ...]]:
    with open_data(path) as data:
        return data.rows("SELECT * FROM data")


def test_a_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet")
    files = find_files(path)
    assert files.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert files.size == path.stat().st_size


def test_a_glob_and_a_folder_are_one_data_set(tmp_path: Path) -> None:
    for name in ("b", "a"):
        parquet(tmp_path / f"{name}.parquet")
    globbed, folder = find_files(tmp_path / "*.parquet"), find_files(tmp_path)
    assert globbed.digest == folder.digest
    assert [f.name for f in globbed.files] == ["a.parquet", "b.parquet"]
    with open_data(tmp_path) as data:
        assert data.row("SELECT count(*) FROM data") == (2000,)


def test_a_csv_is_read_as_pandas_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('n,x,text,day\n1,1.5,"a,b",2013-01-01\nNA,,null,2013-01-02\n')
    with open_data(path) as data:
        assert [c.type for c in data.columns] == ["BIGINT", "DOUBLE", "VARCHAR", "VARCHAR"]
    assert seen(path) == [(1, 1.5, "a,b", "2013-01-01"), (None, None, None, "2013-01-02")]


def test_json_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1, "b": "x"}\n{"a": null, "b": "y"}\n')
    assert seen(path) == [(1, "x"), (None, "y")]


def test_nan_is_missing_even_where_the_file_knows_better(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": pa.array([1.0, float("nan"), 2.0, float("inf")])}), path)
    with open_data(path) as data:
        assert data.row("SELECT count(x), max(x) FROM data") == (3, float("inf"))


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: cut_short(folder / "bad.parquet"),
        lambda folder: damaged_inside(folder / "bad.parquet"),
        lambda folder: written(folder / "bad.parquet", ""),
        lambda folder: written(folder / "bad.parquet", "this is no parquet file at all"),
        lambda folder: written(folder / "bad.csv", "a,b\n1,2\n3,4,5\n6,7\n"),
        lambda folder: written(folder / "bad.csv", "a,b\n1,2\n3\n"),
        lambda folder: written(folder / "bad.csv", 'a,b\n1,"2\n3,4\n'),
        lambda folder: written(folder / "bad.csv", ""),
        lambda folder: written(folder / "bad.jsonl", '{"a": 1}\n{"a": \n'),
        lambda folder: written(folder / "bad.jsonl", '{"a": 1}\n{"a": 2'),
        lambda folder: folder / "bad.parquet",
        lambda folder: str(folder / "bad-*.parquet"),
        lambda folder: written(folder / "bad.xlsx", "?"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, make: Callable[[Path], Path | str]) -> None:
    path = make(tmp_path)
    named = re.escape(str(tmp_path / "bad"))
    with pytest.raises(DataReadError, match=named), open_data(path) as data:
        data.rows("SELECT count(*), max(COLUMNS(*)) FROM data")


def test_two_formats_are_no_data_set(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet")
    written(tmp_path / "a.csv", "a\n1\n")
    with pytest.raises(DataReadError, match="several formats"):
        find_files(tmp_path)


def said_to_nobody(path: Path) -> str:
    """What a process without any privilege is told about ``path``."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            find_files(path)
        except BaseException as error:  # noqa: BLE001 - the child only tells
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        return told.read()


@pytest.mark.parametrize("closed", ["folder", "file"])
def test_what_may_not_be_read_is_named(closed: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = parquet(Path(folder) / "a.parquet")
        Path(folder).chmod(0o755)
        (path if closed == "file" else Path(folder)).chmod(0)
        said = said_to_nobody(path)
        Path(folder).chmod(0o755)
    assert said.startswith(f"DataReadError: Cannot read {path}: Permission denied")


def test_a_file_that_changed_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet")
    with open_data(path) as data:
        parquet(path, "SELECT 1 AS a")
        with pytest.raises(DataReadError, match="changed while it was read"):
            data.files.need_unchanged()


def test_what_is_written_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out" / "rows.parquet"
    with open_data(parquet(tmp_path / "a.parquet")) as data:
        assert data.write_parquet("SELECT * FROM data WHERE a < 10", target) == 10
        with pytest.raises(DataReadError):
            data.write_parquet("SELECT ('x' || a)::INT FROM data", target)
    assert [p.name for p in target.parent.iterdir()] == ["rows.parquet"]
    assert len(seen(target)) == 10


def test_more_than_the_memory_limit_spills(tmp_path: Path) -> None:
    rows = "SELECT range AS a, md5(range::VARCHAR) AS b FROM range(1000000)"
    path = parquet(tmp_path / "a.parquet", rows)
    groups = "SELECT count(*) FROM (SELECT b FROM data GROUP BY b)"
    with open_data(path, memory_limit="120MiB") as data:
        assert data.row(groups) == (1_000_000,)


PIECES = [
    "a",
    "b",
    "é",
    ".",
    r"\d",
    r"\w",
    r"\s",
    "[a-c]",
    "[^b]",
    r"[\d_]",
    "(ab|c)",
    "^",
    "$",
    "-",
]
patterns = st.lists(
    st.tuples(st.sampled_from(PIECES), st.sampled_from(["", "*", "+", "?", "{2}", "*?"])),
    max_size=4,
).map(lambda parts: "".join(p + (q if p not in {"^", "$"} else "") for p, q in parts))
texts = st.text(st.sampled_from("abcé1٣ \n\x85_-Z²"), max_size=6)


@settings(max_examples=300, deadline=None)
@given(patterns, st.lists(texts, min_size=1, max_size=5))
def test_both_meanings_of_a_pattern_are_what_each_engine_says(
    written: str, values: list[str]
) -> None:
    try:
        pattern = translate(written)
    except UnsupportedPatternError:
        return
    both = "SELECT regexp_matches(v, $1), regexp_matches(v, $2) FROM (SELECT unnest($3) AS v)"
    found = duckdb.execute(both, [pattern.python, pattern.re2, values]).fetchall()
    assert [row[0] for row in found] == [bool(re.search(written, v)) for v in values]
    if pattern.certain:
        assert all(python == re2 for python, re2 in found)


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.sampled_from(PIECES[:9]),
        lambda inner: st.tuples(
            inner, inner, st.sampled_from(["", "{7}", "{60}", "{2,}", "*"])
        ).map(lambda parts: f"({parts[0]}{parts[1]}){parts[2]}"),
        max_leaves=6,
    )
)
def test_what_is_translated_is_not_too_large_for_the_engine(written: str) -> None:
    try:
        pattern = translate(written)
    except UnsupportedPatternError:
        return
    both = "SELECT regexp_matches(v, $1), regexp_matches(v, $2) FROM (SELECT 'a' AS v)"
    duckdb.execute(both, [pattern.python, pattern.re2]).fetchall()


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("((a{100}){100}){100}", "repeats at most"),
        ("(a{1000}){2}", "repeats at most"),
        (r"\w{1000}", "too large"),
        (r"(\w{10}){90}", "too large"),
    ],
)
def test_a_pattern_that_is_too_large_is_left_to_the_reference(written: str, why: str) -> None:
    with pytest.raises(UnsupportedPatternError, match=why):
        translate(written)
    assert translate(r"^\w{200}(a{30}){30}$").certain is False
