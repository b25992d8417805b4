"""Great Expectations' SQL engine is the reference for tables: every compiled expectation agrees.

Random tables in SQLite and PostgreSQL meet random arguments and row conditions. One suite holds
many drawings of every expectation, so that one call of the reference judges them all.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.adapters import great_expectations
from airflow_ai_provider.adapters.sql_tables import SqlSource, open_table
from airflow_ai_provider.core.quality.database.check import TableSchema
from airflow_ai_provider.core.quality.database.compiler import TABLE_COMPILED, compile_table
from airflow_ai_provider.core.quality.report import ExpectationResult
from airflow_ai_provider.core.quality.suite import Expectation, Suite, parse_suite
from airflow_ai_provider.services.quality_table import TableLook
from tests.adapters.parity import answers, difference
from tests.adapters.table_corpus import TableCase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Two databases: 200 cases of each expectation together, ten times as many in the long run.
TABLES, EACH, LEAST_CASES, LONG = 13, 11, 100, 10
# SQLite's types are compared by SQLAlchemy's classes, which is left to the reference.
TYPES = {
    "expect_column_type_to_be",
    "expect_column_values_to_be_of_type",
    "expect_column_values_to_be_in_type_list",
}
MORE_OF_TYPES = 6  # so that PostgreSQL alone has as many cases
OFTEN_UNSURE = ("distinct", "most_common", "quantile", "sum", "mean", "stdev", "z_score")
# What the reference cannot evaluate although it means something: it puts one SELECT into another
# as SQLAlchemy no longer takes it, when a row condition meets ignore_row_if.
ITS_OWN = ("FROM expression, such as a Table or alias() object expected",)
NESTED = ("distinct", "most_common", "median", "quantile", "compound", "pair")


def often_unsure(kind: str) -> bool:
    return any(word in kind for word in OFTEN_UNSURE)


def suite_for(case: TableCase, seed: int) -> Suite:
    entries = [
        {"type": kind, "kwargs": case.kwargs(kind)}
        for kind in TABLE_COMPILED
        for _ in range(EACH + MORE_OF_TYPES * (kind in TYPES) + 3 * often_unsure(kind))
    ]
    return parse_suite({"name": f"table {seed}", "expectations": entries})


def compiled(suite: Suite, source: SqlSource) -> dict[int, ExpectationResult]:
    """Return what is decided by the compiled form."""
    with open_table(source, time_limit=60) as data:
        schema = TableSchema(
            suite=suite, columns=data.columns, source=data.relation, dialect=data.dialect
        )
        look = TableLook(suite, data)
        return {r.expectation.index: r for r in look.decided(compile_table(schema))}


def reference(suite: Suite, source: SqlSource, wanted: set[int]) -> dict[int, Any]:
    """Return what the reference says; None where it cannot."""
    batch = great_expectations.TableBatch(
        url=source.url, table=source.table, schema=source.schema, query=source.query
    )
    return answers(suite, batch, wanted, apart=often_fails)


def often_fails(expectation: Expectation) -> bool:
    """Return whether the reference often cannot evaluate it (``ITS_OWN``)."""
    nested = any(word in expectation.type for word in NESTED)
    return nested and "row_condition" in expectation.kwargs


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_table_is_judged_as_great_expectations_judges_it(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    compare(address(database, tmp_path, request), range(TABLES))


@pytest.mark.faults
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_many_tables_are_judged_as_great_expectations_judges_them(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    compare(address(database, tmp_path, request), range(TABLES, TABLES * LONG))


def address(database: str, folder: Path, request: pytest.FixtureRequest) -> str:
    if database == "sqlite":
        return f"sqlite:///{folder / 'data.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url.replace("postgresql://", "postgresql+psycopg://")


def compare(url: str, seeds: range) -> None:
    engine = sa.create_engine(url)
    cases, differences = Counter[str](), []
    for seed in seeds:
        case = TableCase(seed)
        case.fill(engine)
        source = SqlSource(url=url, table="data")
        suite = suite_for(case, seed)
        ours = compiled(suite, source)
        theirs = reference(suite, source, set(ours))
        for index, result in ours.items():
            expectation = suite.expectations[index]
            problem = theirs[index].problem
            if problem:
                if not any(known in problem for known in ITS_OWN):
                    differences.append(
                        f"{seed} {expectation.label} {expectation.kwargs}: {problem}"
                    )
                continue
            cases[expectation.type] += 1
            found = difference(result.success, result.result, theirs[index])
            if found:
                differences.append(f"{seed} {expectation.label} {expectation.kwargs}: {found}")
    engine.dispose()
    assert not differences, "\n".join(differences[:40])
    least = dict.fromkeys(TABLE_COMPILED, LEAST_CASES)
    least |= dict.fromkeys(TYPES, 0 if url.startswith("sqlite") else 2 * LEAST_CASES)
    assert {kind: cases[kind] for kind in least if cases[kind] < least[kind]} == {}
