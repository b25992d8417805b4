"""Our own expectations of database tables: freshness, volume, drift, schema change."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.errors import SuiteError
from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.services.drift import make_profile, write_profile
from airflow_ai_provider.services.quality import SqlSource, check
from airflow_ai_provider.services.quality_criteria import Surroundings

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
DRIFT = "expect_column_drift_to_be_less_than"
SCHEMA = "expect_table_schema_to_match_reference"
NEWEST = "expect_column_newest_value_to_be_recent"
VOLUME = "expect_table_row_count_to_be_near_reference"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path / 'orders.db'}"
    else:
        address = request.getfixturevalue("postgres_url").replace("://", "+psycopg://", 1)
    engine = sa.create_engine(address)
    table = sa.Table(
        "orders",
        sa.MetaData(),
        sa.Column("id", sa.Integer),
        sa.Column("word", sa.String(10)),
        sa.Column("day", sa.Date),
        sa.Column("moment", sa.DateTime),
        sa.Column("zoned", sa.DateTime(timezone=True)),
        sa.Column("never", sa.DateTime),
    )
    table.create(engine)
    rows = [
        {
            "id": hour,
            "word": "x",
            "day": date(2026, 2, 28),
            "moment": datetime(2026, 3, 1, hour),  # noqa: DTZ001 - without a zone: UTC
            "zoned": datetime(2026, 3, 1, hour, tzinfo=timezone.utc),
            "never": None,
        }
        for hour in range(10)
    ]
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)
    engine.dispose()
    return address


def look(source: SqlSource, *expectations: tuple[str, dict[str, Any]], **around: Any) -> Any:
    suite = {"name": "s", "expectations": [{"type": t, "kwargs": k} for t, k in expectations]}
    return check(source, suite, around=Surroundings(now=NOON, **around))


@pytest.mark.parametrize(
    ("column", "max_age", "met"),
    [
        ("moment", "3h", True),
        ("moment", "179m", False),
        ("zoned", "3h", True),
        ("zoned", "179m", False),
        ("day", "36h", True),
        ("day", "35h", False),
        ("never", "99w", False),
    ],
)
def test_the_newest_value_is_asked_of_the_database(
    url: str, column: str, max_age: str, met: bool
) -> None:
    for source in (
        SqlSource(url=url, table="orders"),
        SqlSource(url=url, query="SELECT * FROM orders WHERE id > 2"),
    ):
        result = look(source, (NEWEST, {"column": column, "max_age": max_age}))
        assert result.success is met


@pytest.mark.parametrize("column", ["id", "word"])
def test_what_is_no_time_is_named(url: str, column: str) -> None:
    with pytest.raises(SuiteError, match=rf"recent\({column}\)"):
        look(SqlSource(url=url, table="orders"), (NEWEST, {"column": column, "max_age": "1h"}))


def test_volume_of_a_table_beside_the_other_expectations(url: str) -> None:
    near = (VOLUME, {"last_records": 2, "min_ratio": 0.5})
    filled = ("expect_column_values_to_not_be_null", {"column": "never"})
    source = SqlSource(url=url, table="orders")
    result = look(source, filled, near, history=lambda last: [12, 9][:last])
    assert [r.success for r in result.report.results] == [False, True]
    assert result.verdict is Verdict.FAIL
    assert not look(source, near, history=lambda last: [100] * last).success


def test_drift_and_schema_of_a_table(url: str, tmp_path: Path) -> None:
    source = SqlSource(url=url, table="orders")
    path = str(write_profile(make_profile(source), tmp_path / "orders.json"))
    like = (SCHEMA, {"reference": path})
    hours = (DRIFT, {"column": "moment", "reference": path, "method": "ks"})
    near = (VOLUME, {"reference": path, "min_ratio": 0.9})
    assert [r.success for r in look(source, like, hours, near).report.results] == [True] * 3

    later = SqlSource(url=url, query="SELECT id, word, day, moment FROM orders WHERE id > 6")
    result = look(later, like, hours, near)
    assert [r.success for r in result.report.results] == [False] * 3
    assert result.report.results[0].result["observed_value"]["removed"] == ["zoned", "never"]
    [_, drift, _] = result.report.results
    assert drift.result["observed_value"] == pytest.approx(0.7)


def test_when_files_were_written_is_no_question_to_a_table(url: str) -> None:
    with pytest.raises(SuiteError, match=r"expect_files_to_be_recent.*this is a table"):
        look(SqlSource(url=url, table="orders"), ("expect_files_to_be_recent", {"max_age": "1h"}))
