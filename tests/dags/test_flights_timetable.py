from __future__ import annotations

from pathlib import Path

from flight_delays import data, timetable


def test_the_first_flight_of_the_year_in_utc(landing: Path) -> None:
    with data.connect() as connection:
        timetable.read_flights(
            connection, [data.month_path(landing, 1)], landing / "airports.parquet"
        )
        found = connection.execute(
            "SELECT [scheduled, cutoff, departed, landed]::VARCHAR[] FROM flown"
            " WHERE flight_id = ?",
            ["2013-01-01_UA_1545_EWR"],
        ).fetchone()
    # 05:15 in New York, left at 05:17, at the gate in Houston at 08:30 there
    clock = ["10:15:00", "09:15:00", "10:17:00", "14:30:00"]
    assert found == ([f"2013-01-01 {time}" for time in clock],)


def test_arrivals_fit_departure_and_time_in_the_air_also_when_clocks_change(landing: Path) -> None:
    months = [data.month_path(landing, month) for month in (1, 2, 3)]
    with data.connect() as connection:
        timetable.read_flights(connection, months, landing / "airports.parquet")
        longest, shortest, arrived, landed = connection.execute(
            """
            SELECT max(on_ground), min(on_ground), count(arr_delay), count(landed)
            FROM (
                SELECT *, date_diff('minute', departed, landed) - air_time AS on_ground FROM flown
            )
            """
        ).fetchone() or (0, 0, 0, 0)
    # A wrong zone would show as an hour or more too few, or as a day.
    assert 0 < shortest < longest < 240
    assert arrived == landed > 70_000
