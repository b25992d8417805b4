"""The gate that refuses personal data, the scan that finds it, and that neither repeats it."""

from __future__ import annotations

import json
import random
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from airflow_ai_provider.cli import main
from airflow_ai_provider.core.errors import DataReadError, QualityError, SuiteError
from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.services.personal_data import SHIPPED, personal_data_suite, scan
from airflow_ai_provider.services.quality import SqlSource, check, load_suite
from airflow_ai_provider.services.quality_suggest import suggest
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger

SECRETS = ("anna.berg@example.com", "4012 8888 8888 1881", "DE89 3704 0044 0532 0130 00")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Three rows of people, among a thousand of nobody's."""
    notes = [*(f"called about {s}, twice" for s in SECRETS), "nothing"]
    rows = [(i, notes[min(i, 3)], date(1980, 1, 2), {"ref": notes[min(i, 3)]}) for i in range(1000)]
    path = tmp_path / "people.parquet"
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE t (id BIGINT, note VARCHAR, dob DATE, more STRUCT(ref VARCHAR))"
    )
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    connection.execute(f"COPY t TO '{path}'")
    connection.close()
    return path


def test_the_shipped_suite_refuses_and_says_where(people: Path) -> None:
    result = check(people, SHIPPED)
    [found] = result.report.results
    assert (result.verdict, found.engine) == (Verdict.FAIL, "compiled")
    listed = {(f["column"], f["kind"]): f["count"] for f in found.result["details"]["found"]}
    kinds = ("email", "payment_card", "iban")
    expected = {(c, k): 1 for c in ("note", "more") for k in kinds} | {
        ("dob", "date_of_birth"): 1000
    }
    assert listed == expected
    assert "1 e-mail addresses in note" in found.sentence()


def test_no_value_is_repeated_anywhere(
    people: Path, store: Store, tmp_path: Path, capsys: Capture
) -> None:
    result = check(people, personal_data_suite(["note", "more"]), dataset="people")
    record = Ledger(store).append(result.draft())
    page = tmp_path / "page.html"
    assert main(["quality", "check", str(people), SHIPPED, "--report", str(page)]) == 1
    assert main(["quality", "scan", str(people), "--json"]) == 1
    assert main(["quality", "scan", str(people)]) == 1
    everything = [
        *(json.dumps(result.report.as_gx()), json.dumps(result.compact()), str(result.error())),
        *(str(record), page.read_text(), *capsys.readouterr()),
    ]
    for text in everything:
        for secret in SECRETS:
            assert secret not in text
            assert secret.replace(" ", "") not in text
    assert "***@***.com" in everything[0]


def test_columns_and_kinds_can_be_chosen(people: Path) -> None:
    assert check(people, personal_data_suite(["id"])).success
    assert check(people, personal_data_suite(["note"], kinds=["us_ssn"])).success
    warned = check(people, personal_data_suite(["note"], severity="warning"))
    assert warned.verdict is Verdict.WARN
    allowed = personal_data_suite()
    allowed["expectations"][0]["kwargs"] = {"except_columns": ["note", "more", "dob"]}
    assert check(people, allowed).success


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"column": "nobody"}, "'nobody', which the data does not have"),
        ({"column": "note", "kinds": ["shoe_size"]}, "has kinds="),
        ({"column": "note", "kinds": []}, "has kinds="),
        ({"column": "note", "kinds": "email"}, "has kinds='email'"),
    ],
)
def test_a_slip_is_an_error(people: Path, kwargs: dict[str, Any], said: str) -> None:
    kind = "expect_column_values_to_hold_no_personal_data"
    with pytest.raises(SuiteError, match=said):
        check(people, {"expectations": [{"type": kind, "kwargs": kwargs}]})


def test_a_column_that_may_hold_it_must_be_there(people: Path) -> None:
    suite = personal_data_suite()
    suite["expectations"][0]["kwargs"] = {"except_columns": ["nobody"]}
    with pytest.raises(SuiteError, match="nobody"):
        check(people, suite)


def test_the_shipped_file_is_what_the_function_makes() -> None:
    assert [e.config() for e in load_suite(SHIPPED).expectations] == [
        e.config() for e in load_suite(personal_data_suite()).expectations
    ]
    with pytest.raises(SuiteError, match="airflow-ai:personal_data"):
        load_suite("airflow-ai:absent")


def test_ordinary_columns_hold_none(tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    duckdb.sql(f"""COPY (SELECT
        4000000000000000 + (range * 7919 * 104729) % 999999999999999 AS order_id,
        range::VARCHAR AS code, 100000000 + range AS customer, 1.7e15 + range AS stamp,
        (range * 13) % 1000000 / 100 AS price, ((range * 13) % 1000000 / 7)::VARCHAR AS share,
        TIMESTAMP '2024-01-01' + INTERVAL (range) MINUTE AS at,
        (TIMESTAMP '2024-01-01' + INTERVAL (range) MINUTE)::VARCHAR AS at_text,
        uuid() AS key, uuid()::VARCHAR AS key_text, [range, range] AS pair
        FROM range(20000)) TO '{path}'""")
    result = scan(path)
    assert (result.rows, result.looked_at, result.columns) == (20_000, 20_000, 11)
    assert result.found == ()
    assert check(path, SHIPPED).success


def test_cards_among_floats_are_found(tmp_path: Path) -> None:
    """A column of whole numbers with missing values is one of floats to pandas."""
    path = tmp_path / "cards.parquet"
    duckdb.sql(
        "COPY (SELECT unnest([4012888888881881, 4111111111111111, NULL, 5500000000000004, "
        f"4222222222222221])::DOUBLE AS reference) TO '{path}'"
    )
    [found] = scan(path).found
    assert (found.kind, found.count) == ("payment_card", 3)


def test_a_frame_is_scanned() -> None:
    import pandas as pd

    frame = pd.DataFrame({"contact": [*SECRETS[:1], None], "mixed": [1, SECRETS[0]]})
    assert {f.column for f in scan(frame).found} == {"contact", "mixed"}


@pytest.fixture
def table(people: Path, tmp_path: Path) -> SqlSource:
    url = f"sqlite:///{tmp_path / 'people.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE people (id INTEGER, note TEXT)"))
        rows = [{"id": i, "note": s} for i, s in enumerate(SECRETS)]
        connection.execute(sa.text("INSERT INTO people VALUES (:id, :note)"), rows)
    engine.dispose()
    return SqlSource(url=url, table="people")


def test_a_table_is_scanned_by_a_sample_and_never_passed_by_one(table: SqlSource) -> None:
    result = scan(table, sample=2)
    assert (result.rows, result.looked_at, len(result.found)) == (3, 2, 2)
    assert scan(table, except_columns=["note"]).found == ()
    with pytest.raises(SuiteError, match="Export the table to Parquet"):
        check(table, SHIPPED)


def test_the_command_says_what_was_looked_at(
    table: SqlSource, people: Path, capsys: Capture
) -> None:
    assert main(["quality", "scan", table.url, "--table", "people", "--sample", "2"]) == 1
    assert "2 of 3 rows in 2 columns looked at" in capsys.readouterr().out
    excepted = [a for name in ("note", "more", "dob") for a in ("--except-column", name)]
    assert main(["quality", "scan", str(people), *excepted]) == 0
    assert "No personal data was found" in capsys.readouterr().out
    assert main(["quality", "scan", str(people), "--kind", "shoe_size"]) == 2
    with pytest.raises(QualityError, match="shoe_size"):
        scan(people, kinds=["shoe_size"])
    with pytest.raises(DataReadError):
        scan(people.with_name("absent.parquet"))


def test_a_suggested_suite_names_no_personal_data(tmp_path: Path) -> None:
    draw = random.Random(1)
    mails = [f"{name}@example.com" for name in ("anna", "ben", "cleo")]
    path = tmp_path / "people.csv"
    path.write_text("contact\n" + "".join(f"{draw.choice(mails)}\n" for _ in range(200)))
    found = suggest(path)
    assert not any(name in found.dumps() for name in ("anna", "ben@", "cleo"))
    assert "personal data: e-mail addresses" in found.dumps()
    assert check(path, found.document, fail_on="info").verdict is Verdict.PASS
