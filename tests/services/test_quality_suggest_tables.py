"""What is suggested for any table is passed by this table, and Great Expectations agrees."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.services.quality import SqlSource, check
from airflow_ai_provider.services.quality_suggest import suggest

EXAMPLES = 12
TEXTS = st.one_of(
    st.sampled_from(["a", "AB-12", "CD-7", "", " ", "é", "x\ny", "it's", "2024-01-02", "%", "٣"]),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    sa.Integer: st.integers(-3, 6),
    sa.BigInteger: st.integers(-(2**63), 2**63 - 1),
    sa.Double: st.floats(allow_nan=False),
    sa.Numeric(12, 3): st.decimals(-999, 999, places=3, allow_nan=False).map(Decimal),
    sa.String(20): TEXTS,
    sa.Boolean: st.booleans(),
    sa.Date: st.dates(),
    sa.DateTime: st.datetimes(),
}
# Great Expectations writes a statement down with the values in it, on PostgreSQL by a substitution
# of regular expressions whose replacement is their repr(): one with "\U" or "\x" it cannot
PRINTED = {
    kind: one.filter(lambda t: t.replace("\n", "").isprintable()) if one is TEXTS else one
    for kind, one in VALUES.items()
}
NAMES = st.sampled_from(["id", "order_id", "é", "x y", "select", "a.b", "it's", "100%"])
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@st.composite
def tables(
    draw: st.DrawFn, values: dict[Any, st.SearchStrategy[Any]] = VALUES
) -> tuple[list[sa.Column[Any]], list[dict[str, Any]]]:
    """Draw columns and rows: none or some, repeated values or many different, or none at all."""
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    rows = draw(st.sampled_from([0, 1, 5, 40, 110]))
    kinds = [draw(st.sampled_from(list(values))) for _ in names]
    pools = [draw(st.lists(values[kind], min_size=1, max_size=25)) for kind in kinds]
    pools = [[*pool, None] if draw(st.booleans()) else pool for pool in pools]
    listed = [
        {n: pool[i % len(pool)] for n, pool in zip(names, pools, strict=True)} for i in range(rows)
    ]
    return [sa.Column(n, k) for n, k in zip(names, kinds, strict=True)], listed


def filled(url: str, columns: list[sa.Column[Any]], rows: list[dict[str, Any]]) -> SqlSource:
    name = f"t{uuid.uuid4().hex[:8]}"
    engine = sa.create_engine(url)
    table = sa.Table(name, sa.MetaData(), *columns)
    table.create(engine)
    if rows:
        with engine.begin() as connection:
            connection.execute(table.insert(), rows)
    engine.dispose()
    return SqlSource(url=url, table=name)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'any.db'}"
    return str(request.getfixturevalue("postgres_url").replace("://", "+psycopg://", 1))


def passes(source: SqlSource, engine: str) -> bool:
    document = json.loads(suggest(source, sample=50).dumps())
    return check(source, document, engine=engine, fail_on="info").verdict is Verdict.PASS


@SETTINGS
@given(drawn=tables())
def test_any_table_passes_what_is_suggested_for_it(url: str, drawn: Any) -> None:
    assert passes(filled(url, *drawn), "compiled")


@pytest.mark.slow
@settings(SETTINGS, max_examples=4)
@given(drawn=tables(PRINTED))
def test_great_expectations_agrees(url: str, drawn: Any) -> None:
    pytest.importorskip("great_expectations")
    assert passes(filled(url, *drawn), "great_expectations")
