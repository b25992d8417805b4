from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_ai_provider.core.errors import DataReadError
from flight_delays import data, features, timetable

if TYPE_CHECKING:
    import duckdb

MARCH = 3


@pytest.fixture(scope="module")
def built(landing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features")
    features.build([MARCH], landing, folder)
    return folder


@pytest.fixture
def march(built: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with data.connect() as connection:
        path = data.parquet(features.features_path(built, MARCH))
        connection.execute(f"CREATE VIEW march AS SELECT * FROM {path}")
        yield connection


def test_the_inputs_are_39_and_none_is_of_the_flight_itself() -> None:
    assert len(features.FEATURES) == len(set(features.FEATURES)) == 39
    own = {"flight", "tailnum", "month", "dep_time", "dep_delay", "arr_delay", "air_time"}
    assert not own & set(features.FEATURES)


def test_every_flight_has_one_row_and_one_name(march: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT count(*), count(DISTINCT flight_id), min(day)::VARCHAR, max(day) FROM march"
    rows, names, first, last = march.execute(query).fetchone() or ()
    assert rows == names == 28_834
    assert (first, str(last)) == ("2013-03-01", "2013-03-31")
    named = "SELECT count(*) FROM march WHERE flight_id LIKE '2013-03-01_UA_%_EWR'"
    assert march.execute(named).fetchone() > (50,)


def test_flights_that_never_arrived_have_no_label(
    march: duckdb.DuckDBPyConnection, landing: Path
) -> None:
    labels = "SELECT count(*) FILTER (label IS NULL), sum(label) FROM march"
    flown = f"""SELECT count(*) FILTER (arr_delay IS NULL), count(*) FILTER (arr_delay >= 15)
        FROM {data.parquet(data.month_path(landing, MARCH))}"""
    found = march.execute(labels).fetchone()
    assert found == march.execute(flown).fetchone()
    assert found == (932, 6586)


def test_a_window_counts_what_a_person_would_count(
    march: duckdb.DuckDBPyConnection, landing: Path
) -> None:
    months = [data.month_path(landing, 2), data.month_path(landing, MARCH)]
    timetable.read_flights(march, months, landing / "airports.parquet")
    asked = "2013-03-08_DL_2119_LGA"
    by_hand = """
        SELECT count(*), avg(past.dep_delay) FROM flown AS past, flown AS asked
        WHERE asked.flight_id = ? AND past.origin = asked.origin
            AND past.departed BETWEEN asked.cutoff - INTERVAL 3 HOUR AND asked.cutoff"""
    found = "SELECT airport_departed_3h, airport_delay_3h FROM march WHERE flight_id = ?"
    counted = march.execute(by_hand, [asked]).fetchone()
    assert counted
    assert counted[0] > 10
    assert march.execute(found, [asked]).fetchone() == pytest.approx(counted)


def test_the_aircraft_had_landed_an_hour_before_it_leaves_again(
    march: duckdb.DuckDBPyConnection,
) -> None:
    query = """SELECT count(previous_ground_minutes) / count(*), min(previous_ground_minutes),
        max(previous_ground_minutes) FROM march"""
    share, shortest, longest = march.execute(query).fetchone() or (0, 0, 0)
    assert 0.3 < share < 0.45
    assert 60 <= shortest < 70
    assert 890 < longest <= 15 * 60


# Everything recorded after the moment is made wrong: flights that had not left are cancelled or
# leave hours later, flights in the air land hours later, the weather turns absurd.
LATER = """
COPY (
    SELECT year, month, day,
        CASE WHEN later AND odd THEN NULL WHEN later THEN 1 ELSE dep_time END AS dep_time,
        sched_dep_time,
        CASE WHEN later AND odd THEN NULL WHEN later
                THEN greatest(date_diff('minute', scheduled, $moment::TIMESTAMP), 0) + 600
            ELSE dep_delay END AS dep_delay,
        CASE WHEN (later AND odd) THEN NULL WHEN aloft THEN (arr_time + 300) % 2400
            ELSE arr_time END AS arr_time,
        sched_arr_time,
        CASE WHEN later AND odd THEN NULL WHEN later OR aloft THEN 999 ELSE arr_delay
            END AS arr_delay,
        carrier, flight, tailnum, origin, dest,
        CASE WHEN later AND odd THEN NULL WHEN later THEN 77 WHEN aloft THEN air_time + 240
            ELSE air_time END AS air_time,
        distance, hour, minute, time_hour, hour_shift
    FROM (
        SELECT *, departed IS NULL OR departed > $moment::TIMESTAMP AS later, flight % 2 = 1 AS odd,
            NOT later AND (landed IS NULL OR landed > $moment::TIMESTAMP) AS aloft
        FROM flown
    ) WHERE month = $month
) TO '{target}' (FORMAT parquet)
"""
WEATHER = """
COPY (
    SELECT * EXCLUDE (later) REPLACE (
        CASE WHEN later THEN -99 ELSE temp END AS temp,
        CASE WHEN later THEN 99 ELSE wind_speed END AS wind_speed,
        CASE WHEN later THEN 0 ELSE visib END AS visib)
    FROM (
        SELECT *, timezone('UTC', time_hour) + INTERVAL 1 HOUR > $moment::TIMESTAMP AS later
        FROM {source}
    )
) TO '{target}' (FORMAT parquet)
"""


def falsify(landing: Path, target: Path, moment: str) -> None:
    """A copy of the landing folder in which all that was recorded after ``moment`` is false."""
    shutil.copytree(landing, target)
    with data.connect() as connection:
        months = [data.month_path(landing, month) for month in (2, 3)]
        timetable.read_flights(connection, months, landing / "airports.parquet")
        for month in (2, 3):
            query = LATER.format(target=data.month_path(target, month))
            connection.execute(query, {"moment": moment, "month": month})
        source, copy = data.parquet(landing / "weather.parquet"), target / "weather.parquet"
        connection.execute(WEATHER.format(source=source, target=copy), {"moment": moment})


@pytest.mark.parametrize(
    "moment",
    ["2013-03-01 13:00:00", "2013-03-08 22:15:00", "2013-03-31 12:30:00"],
)
def test_nothing_recorded_after_the_cut_off_is_used(
    moment: str,
    landing: Path,
    march: duckdb.DuckDBPyConnection,
    tmp_path: Path,
) -> None:
    falsify(landing, tmp_path / "landing", moment)
    (path,) = features.build([MARCH], tmp_path / "landing", tmp_path / "features")
    march.execute(f"CREATE VIEW falsified AS SELECT * FROM {data.parquet(path)}")
    inputs = ", ".join(f"{name}" for name in features.FEATURES)
    differ = f"""
        SELECT count(*) FROM (
            (SELECT flight_id, {inputs} FROM march WHERE {{when}})
            EXCEPT (SELECT flight_id, {inputs} FROM falsified)
        )"""
    asked = march.execute(
        "SELECT count(*) FROM march WHERE cutoff <= ?::TIMESTAMP", [moment]
    ).fetchone()
    assert asked > (200,)
    until = march.execute(differ.format(when="cutoff <= ?::TIMESTAMP"), [moment]).fetchone()
    assert until == (0,)
    since = march.execute(differ.format(when="cutoff > ?::TIMESTAMP"), [moment]).fetchone()
    assert since > (200,), "the falsified records are nowhere to be seen"
    labels = """
        SELECT count(*) FROM march JOIN falsified USING (flight_id)
        WHERE march.label IS DISTINCT FROM falsified.label AND march.cutoff <= ?::TIMESTAMP"""
    assert march.execute(labels, [moment]).fetchone() > (0,), "their own arrival was falsified too"


def test_the_month_before_fills_the_first_day_and_no_other(
    landing: Path, march: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    shutil.copytree(landing, tmp_path / "landing")
    data.month_path(tmp_path / "landing", 2).unlink()
    (path,) = features.build([MARCH], tmp_path / "landing", tmp_path / "features")
    inputs = ", ".join(features.FEATURES)
    days = march.execute(f"""
        SELECT DISTINCT day::VARCHAR FROM (
            (SELECT flight_id, day, {inputs} FROM march)
            EXCEPT (SELECT flight_id, day, {inputs} FROM {data.parquet(path)}))
        """).fetchall()
    assert days == [("2013-03-01",)]


def test_a_month_is_built_once_and_again_when_it_is_delivered_anew(
    landing: Path, tmp_path: Path
) -> None:
    (tmp_path / "source").symlink_to(landing.parent / "source")
    copy = tmp_path / "landing"
    shutil.copytree(landing, copy)
    (path,) = features.build([1], copy, tmp_path / "features")
    first = path.stat().st_mtime_ns
    features.build([1], copy, tmp_path / "features")
    assert path.stat().st_mtime_ns == first
    data.deliver_month(1, copy, broken=True)
    features.build([1], copy, tmp_path / "features")
    assert path.stat().st_mtime_ns != first


def test_a_month_that_was_not_delivered_is_a_typed_error(landing: Path, tmp_path: Path) -> None:
    with pytest.raises(DataReadError, match="flights-2013-09"):
        features.build([9], landing, tmp_path)
    assert not list(tmp_path.iterdir())
