"""What is known about a flight one hour before its scheduled departure.

    build(months, landing, features) -> list[Path]         a Parquet file a month, when needed
    load(months, landing, features) -> pandas.DataFrame    the same rows, in order of cut-off
    FEATURES, SCHEDULE, CATEGORIES                         the names of the model's inputs

A file has ``flight_id`` (``2013-04-01_UA_1545_EWR``), ``day``, ``cutoff`` (UTC), ``label`` (1 when
the flight arrived 15 minutes late or more, 0 when it did not, null when it never arrived) and the
features.

Nothing recorded after the cut-off goes in: windows count departures and landings that had happened
by then, weather comes from an hour that was over, and of the flight itself only the timetable and
the aircraft planned for it are used. It is a replay of history: that each report was there at once,
and that the aircraft was known an hour ahead, are assumptions.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from flight_delays import timetable
from flight_delays.data import (
    connect,
    digest,
    month_of,
    month_path,
    parquet,
    partition_of,
    require,
    write,
)
from flight_delays.timetable import read_flights

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from pandas import DataFrame

LATE_MINUTES = 15
CATEGORIES = ("carrier", "origin", "dest")
TIMETABLE = (
    "scheduled_hour",
    "scheduled_minute",
    "arrival_minute",
    "scheduled_duration",
    "weekday",
    "distance",
)
WINDOWS = (
    "airport_departed_1h",
    "airport_delay_1h",
    "airport_late_1h",
    "airport_departed_3h",
    "airport_delay_3h",
    "airport_late_3h",
    "carrier_departed_3h",
    "carrier_delay_3h",
    "carrier_late_3h",
    "carrier_landed_6h",
    "carrier_arrival_delay_6h",
    "carrier_arrival_late_6h",
    "dest_landed_8h",
    "dest_delay_8h",
    "dest_late_8h",
)
AIRCRAFT = (
    "previous_departure_delay",
    "previous_arrival_delay",
    "previous_ground_minutes",
    "plane_age",
    "plane_seats",
    "plane_engines",
)
WEATHER = (
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
)
SCHEDULE = (*CATEGORIES, *TIMETABLE)
FEATURES = (*SCHEDULE, *WINDOWS, *AIRCRAFT, *WEATHER)


def features_path(features: str | Path, month: int | str) -> Path:
    return Path(features) / f"flights-{partition_of(month)}.parquet"


def build(months: Iterable[int | str], landing: str | Path, features: str | Path) -> list[Path]:
    """Build the months whose inputs changed since they were built; return the files of all.

    The month before is read too when it has been delivered, for the windows of the first day.
    """
    airports, weather, planes = (
        Path(landing) / f"{name}.parquet" for name in ("airports", "weather", "planes")
    )
    built = []
    for number in map(month_of, months):
        before = [month_path(landing, number - 1)] if number > 1 else []
        flights = [*filter(Path.exists, before), month_path(landing, number)]
        require(*flights, airports, weather, planes)
        made_from = digest(*_CODE, *flights, airports, weather, planes)
        target = features_path(features, number)
        with connect() as connection:
            if _made_from(connection, target) != made_from:
                read_flights(connection, flights, airports)
                for query in _STEPS:
                    connection.execute(query.format(month=number, weather=parquet(weather)))
                write(connection, _ROWS.format(planes=parquet(planes)), target, made_from=made_from)
        built.append(target)
    return built


def load(months: Iterable[int | str], landing: str | Path, features: str | Path) -> DataFrame:
    """The rows of ``months`` in the order of their cut-offs."""
    files = build(months, landing, features)
    with connect() as connection:
        rows = f"SELECT * FROM {parquet(*files)} ORDER BY cutoff, flight_id"
        return connection.execute(rows).df()


def _made_from(connection: DuckDBPyConnection, path: Path) -> str | None:
    """The digest of what the file says that it was made from."""
    if not path.exists():
        return None
    found = connection.execute(
        "SELECT decode(value) FROM parquet_kv_metadata(?) WHERE decode(key) = 'made_from'",
        [str(path)],
    ).fetchone()
    return found[0] if found else None


_CODE = (Path(__file__), Path(timetable.__file__))

# Nothing looks back further than a day before the first cut-off.
_RECENT = "DELETE FROM flown WHERE date < make_date(year, {month}, 1) - 2 AND month < {month}"

_ASKED = """
CREATE TEMP TABLE asked AS
SELECT * FROM flown WHERE month = {month}
"""


def _window(table: str, keys: str, instant: str, delay: str, measures: str) -> str:
    """Measures over the flights that had departed (or landed) in the hours before each cut-off.

    What happened and what is asked stand in one order of time, so a window that ends at a question
    ends at its cut-off, and what was recorded later is outside.
    """
    spans = ", ".join(
        f"h{hours} AS (PARTITION BY {keys} ORDER BY moment"
        f" RANGE BETWEEN INTERVAL {hours} HOUR PRECEDING AND CURRENT ROW)"
        for hours in (1, 3, 6, 8)
    )
    return f"""
    CREATE TEMP TABLE {table} AS
    SELECT * EXCLUDE (asks) FROM (
        SELECT flight_id, asks, {measures} FROM (
            SELECT flight_id, FALSE AS asks, {keys}, {instant} AS moment, {delay} AS delay,
                ({delay} >= {LATE_MINUTES})::INTEGER AS late
            FROM flown WHERE {instant} IS NOT NULL
            UNION ALL
            SELECT flight_id, TRUE, {keys}, cutoff, NULL, NULL FROM asked
        ) WINDOW {spans}
    ) WHERE asks
    """


_AIRPORT = _window(
    table="airport",
    keys="origin",
    instant="departed",
    delay="dep_delay",
    measures="""
        count(delay) OVER h1 AS airport_departed_1h,
        avg(delay) OVER h1 AS airport_delay_1h,
        avg(late) OVER h1 AS airport_late_1h,
        count(delay) OVER h3 AS airport_departed_3h,
        avg(delay) OVER h3 AS airport_delay_3h,
        avg(late) OVER h3 AS airport_late_3h""",
)
_CARRIER = _window(
    table="carrier_departed",
    keys="carrier, origin",
    instant="departed",
    delay="dep_delay",
    measures="""
        count(delay) OVER h3 AS carrier_departed_3h,
        avg(delay) OVER h3 AS carrier_delay_3h,
        avg(late) OVER h3 AS carrier_late_3h""",
)
_CARRIER_LANDED = _window(
    table="carrier_landed",
    keys="carrier, origin",
    instant="landed",
    delay="arr_delay",
    measures="""
        count(delay) OVER h6 AS carrier_landed_6h,
        avg(delay) OVER h6 AS carrier_arrival_delay_6h,
        avg(late) OVER h6 AS carrier_arrival_late_6h""",
)
_DEST = _window(
    table="destination",
    keys="dest",
    instant="landed",
    delay="arr_delay",
    measures="""
        count(delay) OVER h8 AS dest_landed_8h,
        avg(delay) OVER h8 AS dest_delay_8h,
        avg(late) OVER h8 AS dest_late_8h""",
)

# Only departures from New York are recorded, so the flight that brings the aircraft in is not here.
# The one before it is: its last departure from New York, when it landed in the 14 hours before.
_PREVIOUS = """
CREATE TEMP TABLE previous AS
SELECT asked.flight_id,
    legs.dep_delay AS previous_departure_delay,
    legs.arr_delay AS previous_arrival_delay,
    date_diff('minute', legs.landed, asked.scheduled) AS previous_ground_minutes
FROM asked ASOF JOIN (SELECT * FROM flown WHERE landed IS NOT NULL) AS legs
    ON asked.tailnum = legs.tailnum AND asked.cutoff >= legs.landed
WHERE legs.landed >= asked.cutoff - INTERVAL 14 HOUR
"""

_WEATHER = """
CREATE TEMP TABLE sky AS
SELECT flight_id, weather.* EXCLUDE (origin, known)
FROM asked ASOF JOIN (
    SELECT origin, timezone('UTC', time_hour) + INTERVAL 1 HOUR AS known,
        temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, visib
    FROM {weather}
) AS weather ON asked.origin = weather.origin AND asked.cutoff >= weather.known
WHERE weather.known > asked.cutoff - INTERVAL 3 HOUR
"""

_STEPS = (_RECENT, _ASKED, _AIRPORT, _CARRIER, _CARRIER_LANDED, _DEST, _PREVIOUS, _WEATHER)

_ROWS = f"""
WITH known AS (
    SELECT asked.*, hour AS scheduled_hour, hour * 60 + minute AS scheduled_minute,
        sched_arr_time // 100 * 60 + sched_arr_time % 100 AS arrival_minute,
        (arrival_minute - scheduled_minute + 1440) % 1440 AS scheduled_duration,
        isodow(asked.date) AS weekday,
        asked.year - planes.year AS plane_age, seats AS plane_seats, engines AS plane_engines,
        airport.* EXCLUDE (flight_id), carrier_departed.* EXCLUDE (flight_id),
        carrier_landed.* EXCLUDE (flight_id), destination.* EXCLUDE (flight_id),
        previous.* EXCLUDE (flight_id), sky.* EXCLUDE (flight_id)
    FROM asked
        JOIN airport USING (flight_id) JOIN carrier_departed USING (flight_id)
        JOIN carrier_landed USING (flight_id) JOIN destination USING (flight_id)
        LEFT JOIN previous USING (flight_id) LEFT JOIN sky USING (flight_id)
        LEFT JOIN {{planes}} AS planes ON asked.tailnum = planes.tailnum
)
SELECT flight_id, date AS day, cutoff, (arr_delay >= {LATE_MINUTES})::TINYINT AS label,
    {", ".join(CATEGORIES)},
    {", ".join(f"{name}::FLOAT AS {name}" for name in FEATURES if name not in CATEGORIES)}
FROM known ORDER BY cutoff, flight_id
"""
