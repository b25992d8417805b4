"""The instants of a flight, in UTC: what the source writes as local clock times.

    read_flights(connection, files, airports)   fills the temporary table ``flown``

``flown`` has the source's columns and ``flight_id``, ``date``, ``scheduled``, ``cutoff`` (one hour
before), ``departed`` and ``landed`` (at the gate; null when the flight did not depart or arrive).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flight_delays.data import parquet

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# The arrival is a clock time at the destination. Touchdown is known in UTC (departure and time in
# the air); the gate is the next moment after it at which the destination's clock shows that time.
# The airports without a zone in the source are those of Puerto Rico and the Virgin Islands.
_FLOWN = """
CREATE OR REPLACE TEMP TABLE flown AS
WITH stamped AS (
    SELECT flights.*,
        make_date(flights.year, flights.month, flights.day) AS date,
        timezone('UTC', time_hour) + to_minutes(minute) AS scheduled,
        scheduled + to_minutes(dep_delay::INTEGER) AS departed,
        scheduled + to_minutes((dep_delay + air_time)::INTEGER) AS touchdown,
        timezone(coalesce(tzone, 'America/Puerto_Rico'), timezone('UTC', touchdown)) AS there
    FROM {flights} AS flights LEFT JOIN {airports} AS airports ON faa = dest
)
SELECT * EXCLUDE (touchdown, there),
    concat_ws('_', date, carrier, flight, origin) AS flight_id,
    scheduled - INTERVAL 1 HOUR AS cutoff,
    touchdown + to_minutes(
        (arr_time // 100 * 60 + arr_time % 100 - hour(there) * 60 - minute(there) + 1440) % 1440
    ) AS landed
FROM stamped
"""


def read_flights(connection: DuckDBPyConnection, files: Sequence[Path], airports: Path) -> None:
    """Read the months in ``files`` into the temporary table ``flown``."""
    connection.execute(_FLOWN.format(flights=parquet(*files), airports=parquet(airports)))
