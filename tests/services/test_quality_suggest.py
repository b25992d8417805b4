"""What is suggested for data is passed by this data, on every engine."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import DataReadError, QualityError
from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.services.quality import SqlSource, check
from airflow_ai_provider.services.quality_suggest import Suggestion, suggest, write_suite

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

EXAMPLES = 30
TEXTS = st.one_of(
    st.sampled_from(["a", "AB-12", "CD-7", "", " ", "é", "x\ny", "it's", '"', "2024-01-02", "٣"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    pa.int64(): st.one_of(st.integers(-3, 6), st.integers(-(2**63), 2**63 - 1)),
    pa.int16(): st.integers(-3, 300),
    pa.float64(): st.one_of(st.sampled_from([0.0, -0.0, 0.5, 1.0]), st.floats()),
    pa.float32(): st.floats(width=32),
    pa.string(): TEXTS,
    pa.bool_(): st.booleans(),
    pa.date32(): st.dates(),
    pa.timestamp("us"): st.datetimes(),
    pa.timestamp("us", tz="UTC"): st.datetimes(timezones=st.just(timezone.utc)),
    pa.decimal128(12, 3): st.decimals(-999, 999, places=3, allow_nan=False),
    pa.list_(pa.int64()): st.lists(st.integers(0, 3), max_size=3),
}
NAMES = st.sampled_from(["id", "order_id", "é", 'a "b"', "it's", "x y", "select", "a.b", "A", "%s"])


@st.composite
def columns(draw: st.DrawFn) -> Any:
    """Draw a table: no rows or some, repeated values or many different, or none at all."""
    rows = draw(st.sampled_from([0, 1, 2, 5, 40, 130]))
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=str.casefold))
    arrays = []
    for _ in names:
        kind = draw(st.sampled_from(list(VALUES)))
        pool = draw(st.lists(VALUES[kind], min_size=1, max_size=draw(st.sampled_from([2, 30]))))
        if draw(st.booleans()):
            pool.append(None)
        if draw(st.integers(0, 9)) == 0:
            pool = [None]
        start = draw(st.integers(0, len(pool) - 1))
        values = [pool[(start + i) % len(pool)] for i in range(rows)]
        arrays.append(pa.array(values, type=kind, from_pandas=False))
    return pa.table(dict(zip(names, arrays, strict=True)))


def passes(data: Any, found: Suggestion, engine: str) -> bool:
    document = json.loads(found.dumps())
    return check(data, document, engine=engine, fail_on="info").verdict is Verdict.PASS


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(table=columns(), sample=st.sampled_from([3, 1000]))
def test_any_data_pass_what_is_suggested_for_them(tmp_path: Path, table: Any, sample: int) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(table, path)
    found = suggest(path, sample=sample)
    assert passes(path, found, "compiled" if sample == 3 else "auto")
    assert found.rows == table.num_rows
    kinds = [e["type"] for e in found.entries]
    assert "expect_table_columns_to_match_set" in kinds
    assert "expect_table_row_count_to_be_between" in kinds  # no rows pass only where it says so


@settings(
    max_examples=EXAMPLES // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(table=columns(), suffix=st.sampled_from(["csv", "json"]))
def test_so_do_data_as_text(tmp_path: Path, table: Any, suffix: str) -> None:
    path = tmp_path / f"data.{suffix}"
    duckdb.from_arrow(table).query("t", f"COPY t TO '{path}' (FORMAT {suffix})")
    try:
        found = suggest(path)
    except DataReadError:  # no rows leave an empty file, and some texts a header that means nothing
        with pytest.raises(DataReadError):
            check(path, {"expectations": []})
        return
    assert passes(path, found, "compiled")


@pytest.mark.slow
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(table=columns())
def test_great_expectations_loads_it_and_agrees(tmp_path: Path, table: Any) -> None:
    gx = pytest.importorskip("great_expectations")
    path = tmp_path / "data.parquet"
    pq.write_table(table, path)
    found = suggest(path)
    loaded = gx.ExpectationSuite(**json.loads(found.dumps()))
    assert len(loaded.expectations) == len(found.entries)
    assert [e.severity.value for e in loaded.expectations] == [e["severity"] for e in found.entries]
    assert passes(path, found, "great_expectations")


ROWS = [
    {
        "id": i,
        "code": f"AB-{i:04d}",
        "place": ["EWR", "JFK", "LGA"][i % 3],
        "amount": i / 7 if i % 10 else None,
        "day": date(2024, 1, 1 + i % 28),
        "seen": datetime(2024, 1, 1, i % 24),  # noqa: DTZ001
        "ok": i % 2 == 0,
        "price": Decimal(i) / 100,
        "unused": None,
    }
    for i in range(200)
]


def wanted(found: Suggestion) -> dict[tuple[str, str | None], dict[str, Any]]:
    return {
        (e["type"].removeprefix("expect_"), e["kwargs"].get("column")): e for e in found.entries
    }


def check_the_usual(found: Suggestion) -> None:
    by = wanted(found)
    unique = by["column_values_to_be_unique", "id"]
    assert (unique["severity"], "came twice" in unique["meta"]["notes"]) == ("critical", True)
    assert by["column_values_to_match_regex", "code"]["kwargs"]["regex"] == "^[A-Z]{2}[-][0-9]{4}$"
    assert by["column_values_to_be_in_set", "place"]["kwargs"]["value_set"] == ["EWR", "JFK", "LGA"]
    assert by["column_values_to_not_be_null", "amount"]["kwargs"]["mostly"] == 0.8
    between = by["column_values_to_be_between", "amount"]["kwargs"]
    assert (between["min_value"], between["max_value"]) == (0, 36)
    assert "max_value" not in by["column_values_to_be_between", "id"]["kwargs"]
    rows = by["table_row_count_to_be_between", None]["kwargs"]
    assert rows == {"min_value": 100, "max_value": 400}
    assert not [name for kind, name in by if name == "unused"]
    assert all(e["meta"]["notes"] for e in found.entries)


def test_what_is_obvious_is_expected_of_files(tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    found = suggest(path)
    check_the_usual(found)
    days = wanted(found)["column_values_to_be_between", "day"]["kwargs"]
    assert (days["min_value"], days["max_value"]) == ("2023-01-01", "2026-01-01")
    assert found.document["name"] == "orders"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_table_passes_what_is_suggested_for_it(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_url").replace("://", "+psycopg://", 1)
    engine = sa.create_engine(url)
    types = [
        *(sa.Integer, sa.String(10), sa.String(3), sa.Double, sa.Date, sa.DateTime, sa.Boolean),
        *(sa.Numeric(10, 2), sa.Integer),
    ]
    listed = [sa.Column(n, t) for n, t in zip(ROWS[0], types, strict=True)]
    table = sa.Table("orders", sa.MetaData(), *listed)
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), ROWS)
    engine.dispose()
    for source in (
        SqlSource(url=url, table="orders"),
        SqlSource(url=url, query="SELECT * FROM orders WHERE id >= 0"),
    ):
        found = suggest(source)
        check_the_usual(found)
        assert passes(source, found, "compiled")


def test_an_empty_table_is_suggested_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'none.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (id INTEGER, anything)"))
        source = SqlSource(url=url, table="orders")
    assert passes(source, suggest(source), "compiled")
    with engine.begin() as connection:  # SQLite lets a column hold anything
        connection.execute(sa.text("INSERT INTO orders VALUES (1, 2), ('x', 'y'), (3, x'00')"))
    engine.dispose()
    assert passes(source, suggest(source), "compiled")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_other_files_and_folders_are_suggested_for(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in").mkdir()
    for part in (1, 2):
        lines = [f"{i + 100 * part},x{i % 2},{i / 3}" for i in range(50)]
        text = "id,place,amount\n" + "\n".join(lines) + "\n"
        if suffix == "jsonl":
            rows = [line.split(",") for line in lines]
            text = "\n".join(json.dumps({"id": int(a), "place": b}) for a, b, _ in rows)
        (tmp_path / "in" / f"{part}.{suffix}").write_text(text)
    found = suggest(tmp_path / "in")
    assert wanted(found)["column_values_to_be_in_set", "place"]["kwargs"]["value_set"]
    assert passes(tmp_path / "in", found, "compiled")


def test_a_frame_is_suggested_for() -> None:
    import pandas as pd

    frame = pd.DataFrame({"id": range(50), "place": ["EWR", "JFK"] * 25, "mixed": [1, "x"] * 25})
    found = suggest(frame)
    assert ("column_values_to_be_unique", "id") in wanted(found)
    assert passes(frame, found, "compiled")


def test_rare_values_that_the_sample_missed_loosen_what_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "codes.csv"
    lines = [f"AB-{i:04d}" if i % 50 else "none" for i in range(2000)]
    path.write_text("code\n" + "\n".join(lines) + "\n")
    found = suggest(path, sample=25)
    regex = wanted(found).get(("column_values_to_match_regex", "code"))
    assert regex is None or (regex["kwargs"]["mostly"], regex["severity"]) == (0.98, "warning")
    assert passes(path, found, "compiled")


def test_numbers_at_the_edge_of_what_a_float_holds(tmp_path: Path) -> None:
    path = tmp_path / "edge.parquet"
    values = [math.inf, -math.inf, 1.7e308, -1.7e308, 5e-324] * 40
    pq.write_table(pa.table({"f": values, "i": [2**63 - 1, -(2**63)] * 100}), path)
    assert passes(path, suggest(path), "compiled")


def test_what_cannot_be_read_or_written_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(DataReadError, match="no such file"):
        suggest(tmp_path / "absent.parquet")
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    with pytest.raises(QualityError, match="0 rows shows nothing"):
        suggest(path, sample=0)
    found = suggest(path)
    with pytest.raises(QualityError, match="Cannot write"):
        write_suite(found, tmp_path / "absent" / "suite.json", force=False)
    written = write_suite(found, tmp_path / "suite.json", force=False)
    with pytest.raises(QualityError, match="is there already"):
        write_suite(found, written, force=False)
    assert json.loads(write_suite(found, written, force=True).read_text()) == found.document
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "suite.json"]
