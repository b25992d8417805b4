"""The gate on database tables: what is read, what is recorded, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
import sqlalchemy as sa

from airflow_ai_provider.adapters.sql_tables import open_table
from airflow_ai_provider.core.errors import DatabaseLostError, DataReadError, SuiteError
from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.services.quality import SqlSource, check

ROWS = [
    (1, "EWR", 5.0, "2024-01-01"),
    (2, "JFK", -1.0, "2024-01-02"),
    (2, "LGA", 7.0, None),
    (3, None, None, "2024-01-04"),
    (4, "jfk", None, "2024-01-05"),
]


def expect(kind: str, severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity}


def suite_of(*expectations: dict[str, Any]) -> dict[str, Any]:
    return {"name": "orders", "expectations": list(expectations)}


UNIQUE = expect("column_values_to_be_unique", column="id")
PAIRS = expect("compound_columns_to_be_unique", column_list=["id", "place"])
PLACE = expect("column_values_to_match_regex", column="place", regex="^[A-Z]{3}$")
POSITIVE = expect("column_values_to_be_between", column="amount", min_value=0)
THERE = expect("column_values_to_not_be_null", "warning", column="amount", mostly=0.5)
EXACT = expect("column_sum_to_be_between", column="id", min_value=12, max_value=12)


def fill(url: str) -> None:
    engine = sa.create_engine(url)
    table = sa.Table(
        "orders",
        sa.MetaData(),
        sa.Column("id", sa.Integer),
        sa.Column("place", sa.String(10)),
        sa.Column("amount", sa.Double),
        sa.Column("day", sa.String(10)),
    )
    table.create(engine)
    with engine.begin() as connection:
        names = ("id", "place", "amount", "day")
        connection.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in ROWS])
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path / 'orders.db'}"
    else:
        address = request.getfixturevalue("postgres_url").replace("://", "+psycopg://", 1)
    fill(address)
    return address


@pytest.fixture
def postgres(postgres_url: str) -> str:
    address = postgres_url.replace("://", "+psycopg://", 1)
    fill(address)
    return address


def test_a_table_is_judged_where_it_is(url: str) -> None:
    suite = suite_of(UNIQUE, PAIRS, PLACE, POSITIVE, THERE, EXACT)
    result = check(SqlSource(url=url, table="orders"), suite, engine="compiled")
    by_type = {r.expectation.label: r for r in result.report.results}
    assert result.verdict is Verdict.FAIL
    assert [r.success for r in result.report.results] == [False, True, False, False, True, True]
    assert by_type["expect_column_values_to_be_unique(id)"].result["unexpected_count"] == 2
    place = by_type["expect_column_values_to_match_regex(place)"].result
    assert place["partial_unexpected_list"] == ["jfk"]
    assert result.report.engine == "compiled"


def test_a_query_is_judged_as_a_table_is(url: str) -> None:
    query = "SELECT id, place || ':x' AS place FROM orders WHERE id < 4 -- those alone;"
    source = SqlSource(url=url, query=query)
    result = check(source, suite_of(UNIQUE), engine="compiled")
    assert (result.data.rows, result.data.kind) == (4, "query")
    assert result.data.query_digest == source.query_digest
    assert source.query_digest is not None
    assert result.data.path.endswith(source.query_digest[:16])


def test_the_record_names_the_table_and_no_password(postgres: str) -> None:
    source = SqlSource(url=postgres.replace("postgres:@", "postgres:secret@"), table="orders")
    result = check(source, suite_of(THERE), dataset="orders")
    evidence = result.draft().evidence["data"]
    assert evidence["path"].endswith("/orders")
    assert evidence["rows"] == 5
    assert evidence["snapshot"].count(":") == 2
    assert evidence["looked_at"].endswith("+00:00")
    assert "secret" not in str(evidence) + repr(source) + str(result.report.as_gx())


def scans(url: str) -> int:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(
            "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'orders'"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    ("expectations", "most"),
    [((PAIRS, THERE, EXACT), 1), ((UNIQUE, PAIRS, PLACE, POSITIVE, THERE, EXACT), 2)],
    ids=["all is well", "rows are shown"],
)
def test_a_table_is_read_at_most_twice(
    postgres: str, expectations: tuple[dict[str, Any], ...], most: int
) -> None:
    before = scans(postgres)
    check(SqlSource(url=postgres, table="orders"), suite_of(*expectations), engine="compiled")
    assert scans(postgres) - before == most


def test_a_lost_connection_is_named(postgres: str) -> None:
    source = SqlSource(url=postgres, table="orders")
    with open_table(source, time_limit=60) as data:
        [[pid]] = data.rows(sa.text("SELECT pg_backend_pid()"))
        with psycopg.connect(postgres.replace("+psycopg", ""), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [pid])
        with pytest.raises(DatabaseLostError, match=r"/orders: the connection .* was lost"):
            data.rows(sa.text("SELECT count(*) FROM orders"))


def test_what_the_database_refuses_goes_to_the_reference_with_its_reason(postgres: str) -> None:
    wrong = expect("column_values_to_be_in_set", column="id", value_set=["1"])
    with pytest.raises(SuiteError, match=r"in_set\(id\).*the database refuses it: operator"):
        check(
            SqlSource(url=postgres, table="orders"),
            suite_of(UNIQUE, wrong, THERE),
            engine="compiled",
        )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"table": "ordres"}, "no such table"),
        ({"table": None, "query": "SELEC 1"}, "refuses the query"),
        ({"table": None}, "no table"),
        ({"url": "nosuch://x/y"}, "Can't load plugin"),
        ({"url": "sqlite:////no/such/folder/x.db"}, "unable to open"),
    ],
)
def test_what_cannot_be_read_is_named(url: str, changed: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"url": url, "table": "orders", **changed}
    with pytest.raises(DataReadError, match=said):
        check(SqlSource(**given), suite_of(THERE))


def test_two_columns_of_one_name_are_refused(postgres: str) -> None:
    with pytest.raises(DataReadError, match="the same name"):
        check(SqlSource(url=postgres, query="SELECT 1 AS a, 2 AS a"), suite_of(THERE))


def test_a_pattern_that_runs_forever_is_stopped(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'a.db'}"
    with sa.create_engine(address).begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (a VARCHAR)"))
        connection.execute(sa.text("INSERT INTO t VALUES ('" + "a" * 60 + "!')"))
    forever = expect("column_values_to_match_regex", column="a", regex="^(a+)+$")
    with pytest.raises(DataReadError, match=r"longer than 0\.5 seconds"):
        check(SqlSource(url=address, table="t"), suite_of(forever), time_limit=0.5)


def test_a_statement_that_takes_too_long_is_stopped(postgres: str) -> None:
    query = "SELECT id, pg_sleep(5) AS a FROM orders"
    with pytest.raises(DataReadError, match=r"longer than 0\.5 seconds"):
        check(SqlSource(url=postgres, query=query), suite_of(UNIQUE), time_limit=0.5)


def test_a_column_that_is_not_there_is_named_before_the_table_is_read(url: str) -> None:
    absent = expect("column_values_to_be_unique", column="idd")
    with pytest.raises(SuiteError, match=r"'idd', which the data does not have.*id, place"):
        check(SqlSource(url=url, table="orders"), suite_of(absent))


@pytest.mark.slow
def test_the_rest_goes_to_the_sql_engine_of_the_reference(url: str) -> None:
    text = expect(
        "column_values_to_be_in_set",
        column="place",
        value_set=["EWR", None],
    )
    result = check(SqlSource(url=url, table="orders"), suite_of(UNIQUE, text))
    [ours, theirs] = result.report.results
    assert (ours.engine, theirs.engine) == ("compiled", "great_expectations")
    assert theirs.reason == "the set holds a missing value"
    assert theirs.result["unexpected_count"] == 3


def test_a_suite_of_more_than_a_thousand_expectations_is_judged(url: str) -> None:
    entries = [
        expect("column_values_to_be_between", column="id", min_value=0, max_value=n)
        for n in range(1500)
    ]
    result = check(SqlSource(url=url, table="orders"), suite_of(*entries), engine="compiled")
    assert [r.success for r in result.report.results] == [n >= 4 for n in range(1500)]
    failed = result.report.results[3].result
    assert failed["partial_unexpected_list"] == [4]


def test_failing_rows_of_a_table_are_kept_apart(url: str, tmp_path: Path) -> None:
    result = check(
        SqlSource(url=url, table="orders"),
        suite_of(UNIQUE, PLACE, POSITIVE, THERE),
        quarantine_path=tmp_path / "bad" / "orders.parquet",
        good_rows_path=tmp_path / "good.parquet",
    )
    assert result.quarantine is not None
    assert result.quarantine.rows == 3
    unique, place, positive = (
        "expect_column_values_to_be_unique(id)",
        "expect_column_values_to_match_regex(place)",
        "expect_column_values_to_be_between(amount)",
    )
    assert duckdb.sql(f"SELECT * FROM '{result.quarantine.path}' ORDER BY ALL").fetchall() == [
        (2, "JFK", -1.0, "2024-01-02", [unique, positive]),
        (2, "LGA", 7.0, None, [unique]),
        (4, "jfk", None, "2024-01-05", [place]),
    ]
    assert duckdb.sql(f"SELECT * FROM '{tmp_path}/good.parquet' ORDER BY ALL").fetchall() == [
        (1, "EWR", 5.0, "2024-01-01"),
        (3, None, None, "2024-01-04"),
    ]
