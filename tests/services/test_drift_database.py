"""Drift of tables and queries: the figures of the same rows in a file, and nothing pulled."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_ai_provider.adapters.sql_tables import SqlSource
from airflow_ai_provider.core.errors import DatabaseLostError, DataReadError, DriftSettingsError
from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.core.quality.drift.distances import distances
from airflow_ai_provider.core.quality.drift.numbers import Sample, Sketch
from airflow_ai_provider.core.quality.drift.report import DriftResult
from airflow_ai_provider.core.quality.profile import ReferenceProfile, parse_profile
from airflow_ai_provider.services.drift import compare, make_profile, write_profile
from airflow_ai_provider.services.drift_sources import open_source

EVERY = ["psi", "ks", "jensen_shannon", "wasserstein", "wasserstein_scaled", "chi_squared"]
EVERY += ["missing_rate", "new_category"]
COLUMNS: Mapping[str, tuple[Any, Any]] = {
    "i": (sa.Integer(), pa.int32()),
    "w": (sa.BigInteger(), pa.int64()),
    "f": (sa.Double(), pa.float64()),
    "s": (sa.Text(), pa.string()),
    "o": (sa.Boolean(), pa.bool_()),
    "d": (sa.Date(), pa.date32()),
    "h": (sa.DateTime(), pa.timestamp("us")),
    "z": (sa.DateTime(timezone=True), pa.timestamp("us", tz="UTC")),
}
START = datetime(2026, 1, 1)  # noqa: DTZ001 - a column without a zone


class Database:
    """A database with one table at a time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = sa.create_engine(url)
        names = COLUMNS if url.startswith("postgresql") else [n for n in COLUMNS if n != "z"]
        self.columns = {name: COLUMNS[name] for name in names}

    def fill(self, rows: list[dict[str, Any]], name: str = "data") -> SqlSource:
        table = sa.Table(
            name, sa.MetaData(), *(sa.Column(n, k[0]) for n, k in self.columns.items())
        )
        table.drop(self.engine, checkfirst=True)
        table.create(self.engine)
        if rows:
            with self.engine.begin() as connection:
                connection.execute(table.insert(), [{n: r[n] for n in self.columns} for r in rows])
        return SqlSource(url=self.url, table=name)

    def write(self, rows: list[dict[str, Any]], path: Path) -> Path:
        arrays = {
            n: pa.array([r[n] for r in rows], type=k[1], from_pandas=False)
            for n, k in self.columns.items()
        }
        pq.write_table(pa.table(arrays), path)
        return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'data.db'}"
    else:
        url = request.getfixturevalue("postgres_url").replace("://", "+psycopg://", 1)
    found = Database(url)
    yield found
    found.engine.dispose()


def drawn(seed: int, rows: int, *, endless: bool = True, moved: float = 0.0) -> list[Any]:
    draw = np.random.default_rng(seed)
    ends = [math.inf, -math.inf, math.nan] if endless else []

    def row(_: int) -> dict[str, Any]:
        moment = START + timedelta(microseconds=int(draw.integers(0, 10**12)))
        odd = draw.random()
        return {
            "i": int(draw.integers(-5, 6)) if odd > 0.1 else None,
            "w": int(draw.choice([2**53 + 1, 2**60, -7, int(draw.integers(0, 10**9))])),
            "f": float(draw.choice(ends)) if ends and odd < 0.05 else draw.normal(moved),
            "s": None if odd < 0.2 else str(draw.choice(["é", "E", "e", "日本", "", "a'b", "%"])),
            "o": None if odd > 0.9 else bool(draw.random() < 0.3),
            "d": date(2026, 1, 1) + timedelta(days=int(draw.integers(0, 300))),
            "h": moment if odd > 0.1 else None,
            "z": moment.replace(tzinfo=timezone.utc),
        }

    return [row(n) for n in range(rows)]


def figures(result: DriftResult) -> dict[tuple[str, str], Any]:
    assert [c.problem for c in result.columns if c.problem] == []
    return {(c.column, m.measure.name): m for c in result.columns for m in c.measured}


def agree(counted: DriftResult, exact: DriftResult) -> None:
    ours, theirs = figures(counted), figures(exact)
    assert set(ours) == set(theirs)
    for key, mine in ours.items():
        other = theirs[key]
        if mine.value is None or other.value is None or math.isinf(other.value):
            assert mine.value == other.value, key
            continue
        allowed = mine.error + other.error + 1e-9 * (1 + abs(other.value))
        assert abs(mine.value - other.value) <= allowed, (key, mine, other)
        if key[1] in {"psi", "jensen_shannon", "missing_rate", "new_category"}:
            assert mine.error == other.error, key


@pytest.mark.parametrize(("rows", "moved"), [(0, 0.0), (1, 0.0), (90, 1.5)])
def test_a_table_gives_the_figures_of_its_rows_in_a_file(
    database: Database, tmp_path: Path, rows: int, moved: float
) -> None:
    old, new = drawn(1, 120), drawn(2, rows, moved=moved)
    reference = database.write(old, tmp_path / "reference.parquet")
    profile = write_profile(make_profile(reference), tmp_path / "profile.json")
    there = database.write(new, tmp_path / "new.parquet")
    table = database.fill(new)
    query = SqlSource(url=table.url, query="SELECT * FROM data WHERE w IS NOT NULL;")
    for held in (reference, profile):
        exact = compare(there, held, methods=EVERY)
        for source in (table, query):
            if source is query and (database.url.startswith("sqlite")):
                continue
            counted = compare(source, held, methods=EVERY)
            agree(counted, exact)
            assert counted.verdict is exact.verdict
            assert counted.data.rows == rows


def test_a_tables_profile_is_that_of_its_rows_in_a_file(database: Database, tmp_path: Path) -> None:
    rows = drawn(3, 2_500)
    there = database.write(rows, tmp_path / "data.parquet")
    of_table, of_file = make_profile(database.fill(rows)), make_profile(there)
    assert of_table.rows == of_file.rows
    assert dict(of_table.types) == dict(of_file.types)
    for mine, theirs in zip(of_table.columns, of_file.columns, strict=True):
        alike(mine.values, theirs.values)
    again = parse_profile(of_table.dumps(), "p")
    assert isinstance(again, ReferenceProfile)
    assert compare(there, write_profile(of_table, tmp_path / "p.json")).verdict is Verdict.PASS


def alike(mine: Any, theirs: Any) -> None:
    if not isinstance(theirs, Sketch):
        assert mine == theirs
        return
    assert mine.points.tolist() == theirs.points.tolist()
    assert mine.rows_below.tolist() == theirs.rows_below.tolist()
    assert mine.rows_at_most.tolist() == theirs.rows_at_most.tolist()
    assert mine.mean() == pytest.approx(theirs.mean())
    assert mine.deviation() == pytest.approx(theirs.deviation())


def test_a_table_is_held_to_another_table(database: Database) -> None:
    reference = database.fill(drawn(4, 200), "earlier")
    same = compare(database.fill(drawn(4, 200)), reference)
    assert same.verdict is Verdict.PASS
    assert same.reference.looked_at is not None
    drifted = compare(database.fill(drawn(4, 200, moved=3.0)), reference)
    assert [c.column for c in drifted.drifted] == ["f"]
    assert drifted.compact()["reference"]["path"].endswith("/earlier")


class Statements:
    """What was fetched, by listening to the engine's class."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __enter__(self) -> Statements:
        sa.event.listen(sa.engine.Engine, "after_cursor_execute", self._seen)
        return self

    def __exit__(self, *_: Any) -> None:
        sa.event.remove(sa.engine.Engine, "after_cursor_execute", self._seen)

    def _seen(self, *given: Any) -> None:
        self.rows.append(given[1].rowcount)


def test_nothing_is_pulled_but_counts(tmp_path: Path, postgres_url: str) -> None:
    database = Database(postgres_url.replace("://", "+psycopg://", 1))
    reference = database.write(drawn(7, 100), tmp_path / "reference.parquet")
    profile = write_profile(make_profile(reference), tmp_path / "profile.json")
    table = database.fill(drawn(8, 3_000))
    database.engine.dispose()
    with Statements() as seen:
        compare(table, profile, methods=EVERY)
    assert max(seen.rows) <= 2 * 100 + 5  # cells of a column of 100 different values
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        scanned = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'data'"
        [[scans]] = connection.execute(scanned).fetchall()
    assert scans <= 2 + len(COLUMNS)  # rows, the ends of all, and each column's counts


def test_a_connection_lost_half_way_is_named(tmp_path: Path, postgres_url: str) -> None:
    database = Database(postgres_url.replace("://", "+psycopg://", 1))
    table = database.fill(drawn(1, 20))
    with open_source(table, time_limit=60) as opened:
        assert opened.source.column("i").rows == 20
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE xact_start < now()"
        with psycopg.connect(postgres_url, autocommit=True) as other:
            assert other.execute(ended).fetchall()
        with pytest.raises(DatabaseLostError, match=r"/data: the connection .* was lost"):
            opened.source.column("f")
    database.engine.dispose()


def test_what_changed_is_named(database: Database, tmp_path: Path) -> None:
    reference = database.write(drawn(1, 50), tmp_path / "reference.parquet")
    with database.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS data"))
        connection.execute(sa.text("CREATE TABLE data (i TEXT, f TEXT, h INTEGER, more INTEGER)"))
        connection.execute(sa.text("INSERT INTO data VALUES ('x', NULL, 5, 1)"))
    result = compare(SqlSource(url=database.url, table="data"), reference, columns=["i", "f", "h"])
    problems = {c.column: c.problem for c in result.columns}
    assert problems["i"] == "it is VARCHAR now, and the reference's values are numbers"
    assert problems["h"] == "it is INTEGER now, and the reference's values are times"
    assert problems["f"] is None  # no value is of every kind
    assert result.verdict is Verdict.FAIL
    assert result.schema.added == ("more",)
    with pytest.raises(DriftSettingsError, match="absent"):
        compare(SqlSource(url=database.url, table="data"), reference, columns=["absent"])
    with pytest.raises(DataReadError, match="no such table"):
        compare(SqlSource(url=database.url, table="absent"), reference)


def test_what_only_postgresql_has_is_read_as_files_have_it(postgres_url: str) -> None:
    url = postgres_url.replace("://", "+psycopg://", 1)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE data AS SELECT * FROM (VALUES "
                "(1.50::numeric(12,2), 0.1::real, 3::smallint, 'infinity'::timestamptz, "
                "'{}'::jsonb, interval '90 s', time '00:01'), "
                "('NaN', 'Infinity', NULL, '2026-01-01 00:00+02', NULL, NULL, NULL), "
                "(2.25, 'NaN', 5, NULL, '{}', interval '1 day', time '12:00')"
                ") AS t(c, r, s, z, j, v, m)"
            )
        )
    engine.dispose()
    for source in ({"table": "data"}, {"query": "SELECT * FROM data"}):
        profile = make_profile(SqlSource(url=url, **source))
        found = {c.name: (c.kind.value, c.missing, c.values) for c in profile.columns}
        points = {n: v.points.tolist() for n, (_, _, v) in found.items() if isinstance(v, Sketch)}
        assert points == {
            "c": [1.5, 2.25],
            "r": [float(np.float32(0.1)), math.inf],
            "s": [3, 5],
            "z": [datetime(2025, 12, 31, 22, tzinfo=timezone.utc).timestamp()],
            "v": [90.0, 86_400.0],
            "m": [60.0, 43_200.0],
        }
        assert {n: missing for n, (_, missing, _) in found.items()} == {
            "c": 1, "r": 1, "s": 1, "z": 2, "j": 1, "v": 1, "m": 1
        }  # fmt: skip
        assert found["j"][2].counts == {"{}": 2}


def test_sqlite_columns_that_hold_anything_are_looked_at(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'data.db'}")
    reference = database.write(drawn(1, 50), tmp_path / "reference.parquet")
    with database.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE data (i INTEGER, h DATETIME)"))
        connection.execute(sa.text("INSERT INTO data VALUES (1, 'soon'), ('many', '2026-01-01')"))
    source = SqlSource(url=database.url, table="data")
    result = compare(source, reference, columns=["i", "h"])
    assert [c.problem for c in result.columns] == [
        "1 of its values are no numbers, whatever its type says",
        "1 of its values are no times, whatever its type says",
    ]


@pytest.mark.parametrize(
    ("written", "micros"),
    [
        ("2026-01-02", 0),
        ("2026-01-02 03:04", 0),
        ("2026-01-02T03:04:05", 0),
        ("2026-01-02 03:04:05.5", 500_000),
        ("2026-01-02 03:04:05.999999", 999_999),
        ("2026-01-02T03:04:05Z", 0),
        ("2026-01-02T03:04:05.25+02:00", 250_000),
        ("2026-01-02T03:04:05-05:30", 0),
    ],
)
def test_sqlites_times_are_read_to_the_microsecond(
    tmp_path: Path, written: str, micros: int
) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'data.db'}")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE data (h DATETIME)"))
        connection.execute(sa.text("INSERT INTO data VALUES (:h)"), {"h": written})
    engine.dispose()
    profile = make_profile(SqlSource(url=str(engine.url), table="data"))
    [found] = profile.columns[0].values.points.tolist()  # type: ignore[union-attr]
    meant = datetime.fromisoformat(written.replace("Z", "+00:00"))
    meant = meant if meant.tzinfo else meant.replace(tzinfo=timezone.utc)
    assert found == meant.timestamp()
    assert round(found % 1 * 1_000_000) == micros


def test_rare_categories_of_the_reference_are_found_behind_many_new_ones(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = drawn(1, 1)[0]
    old = [{**row, "s": name} for name in ("x", "y", "y", "zz")]
    new = [{**row, "s": f"n{n % 40}"} for n in range(120)] + [{**row, "s": "x"}]
    reference = database.write(old, tmp_path / "reference.parquet")
    there = database.write(new, tmp_path / "new.parquet")
    agree(
        compare(database.fill(new), reference, columns=["s"], methods=EVERY),
        compare(there, reference, columns=["s"], methods=EVERY),
    )


numbers = st.lists(st.one_of(st.integers(-4, 4), st.floats(-4, 4)), min_size=1, max_size=60)


@given(numbers, numbers, st.lists(st.integers(-5, 5), max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_two_sketches_are_as_far_apart_as_their_samples_within_the_error(
    old: list[float], new: list[float], cuts: list[int]
) -> None:
    first, second = (Sample.of(np.array(v, dtype=np.float64)) for v in (old, new))
    exact = distances(first, second)
    found = distances(coarse(first, cuts[:2]), coarse(second, cuts))
    assert exact is not None
    assert found is not None
    assert found.ks - 1e-12 <= exact.ks <= found.ks + found.ks_error + 1e-12
    assert abs(found.wasserstein - exact.wasserstein) <= found.wasserstein_error + 1e-9
    low = found.ks_p_value - found.ks_p_value_error
    assert low - 1e-9 <= exact.ks_p_value <= found.ks_p_value + 1e-9


def coarse(sample: Sample, cuts: list[int]) -> Sketch:
    """Return a sketch that knows little: the ends, and how many rows lie at each cut."""
    points = np.unique(np.r_[sample.values[[0, -1]], np.array(cuts, dtype=np.float64)])
    return Sketch(
        points=points,
        rows_below=sample.below(points),
        rows_at_most=sample.at_most(points),
        centre=sample.mean(),
        spread=sample.deviation(),
    )
