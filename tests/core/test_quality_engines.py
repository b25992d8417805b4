"""The table of expectation, engine and reason is that of the code."""

from __future__ import annotations

from airflow_ai_provider.core.quality import engines as listed
from airflow_ai_provider.core.quality.catalogue import CATALOGUE
from airflow_ai_provider.core.quality.compiler import COMPILED
from airflow_ai_provider.core.quality.database.compiler import TABLE_COMPILED


def test_each_expectation_is_compiled_or_has_its_reason() -> None:
    table = {row.expectation: row for row in listed.engines()}
    assert set(table) == set(CATALOGUE)
    assert {name for name, row in table.items() if not row.files} == set(COMPILED)
    assert {name for name, row in table.items() if not row.tables} == set(TABLE_COMPILED)


def test_no_reason_is_left_of_what_is_compiled() -> None:
    assert not set(listed._FILES) & set(COMPILED)
    assert not set(listed._TABLES) & set(TABLE_COMPILED)


def test_forty_five_of_them_are_compiled_for_each_kind_of_data() -> None:
    assert min(len(COMPILED), len(TABLE_COMPILED)) >= 45
