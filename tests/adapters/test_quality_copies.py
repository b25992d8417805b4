"""Distinct values of real files, in bits or hashed, are as many as Python counts."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_ai_provider.services.quality import check

SUITE = {
    "name": "s",
    "expectations": [
        {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}},
        {
            "type": "expect_compound_columns_to_be_unique",
            "kwargs": {"column_list": ["id", "part"]},
        },
        {
            "type": "expect_column_unique_value_count_to_be_between",
            "kwargs": {"column": "id", "min_value": 0},
        },
        {
            "type": "expect_column_value_lengths_to_be_between",
            "kwargs": {"column": "text", "min_value": 2, "max_value": 9},
        },
    ],
}
NUMBER = st.one_of(st.none(), st.integers(-20, 20), st.integers(-(2**53), 2**53))
ROW = st.tuples(NUMBER, st.sampled_from([None, "a", "b"]), st.text(max_size=12))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(ROW, max_size=30), st.sampled_from(["BIGINT", "INTEGER", "TINYINT"]))
def test_copies_are_counted_as_python_counts_them(
    tmp_path: Path, rows: list[tuple[int | None, str | None, str]], kind: str
) -> None:
    if kind != "BIGINT":
        rows = [(None if n is None else n % 100 - 50, part, text) for n, part, text in rows]
    rows = [(n, part, text.replace("\0", "")) for n, part, text in rows]
    path = tmp_path / "data.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t (id {kind}, part VARCHAR, text VARCHAR)")
        if rows:
            connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    report = check(path, SUITE, engine="compiled").report
    single, compound, distinct, lengths = (result.result for result in report.results)
    present = Counter(n for n, _, _ in rows if n is not None)
    both = Counter((n, part) for n, part, _ in rows if n is not None or part is not None)
    assert single["unexpected_count"] == sum(n for n in present.values() if n > 1)
    assert compound["unexpected_count"] == sum(n for n in both.values() if n > 1)
    assert compound["missing_count"] == len(rows) - sum(both.values())
    assert distinct["observed_value"] == len(present)
    assert lengths["unexpected_count"] == sum(not 2 <= len(text) <= 9 for _, _, text in rows)


def test_a_gate_without_drift_takes_none_of_its_libraries(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT 1 AS id) TO '{path}' (FORMAT parquet)")
    suite = {"name": "s", "expectations": SUITE["expectations"][:1]}
    program = (
        "import sys; from airflow_ai_provider.services.quality import check; "
        f"assert check({str(path)!r}, {suite!r}).success; "
        "print(*{'numpy', 'pandas', 'scipy', 'pyarrow', 'great_expectations'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(("low", "high"), [(1, 1), (3, 4), (0, 2), (4, 16)])
def test_characters_are_counted_whatever_their_bytes(tmp_path: Path, low: int, high: int) -> None:
    texts = ["a" * n for n in range(6)] + ["🙂" * n for n in range(1, 6)] + ["é" * 3]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["text", *(f'"{text}"' for text in texts if text)]))
    kwargs = {"column": "text", "min_value": low, "max_value": high, "strict_min": low == 3}
    entry = {"type": "expect_column_value_lengths_to_be_between", "kwargs": kwargs}
    [result] = check(path, {"name": "s", "expectations": [entry]}).report.results
    least = low + 1 if low == 3 else low
    expected = sum(not least <= len(text) <= high for text in texts if text)
    assert result.result["unexpected_count"] == expected
