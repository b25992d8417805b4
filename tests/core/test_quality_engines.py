"""The table of expectation, engine and reason is that of the code."""

from __future__ import annotations

from pathlib import Path

from airflow_ai_provider.core.quality import engines as listed
from airflow_ai_provider.core.quality.catalogue import CATALOGUE
from airflow_ai_provider.core.quality.compiler import COMPILED
from airflow_ai_provider.core.quality.database.compiler import TABLE_COMPILED
from tests.adapters import test_quality_parity as files
from tests.adapters import test_quality_table_parity as tables
from tests.adapters.file_corpus import FileCase
from tests.adapters.table_corpus import TableCase


def test_each_expectation_is_compiled_or_has_its_reason() -> None:
    table = {row.expectation: row for row in listed.engines()}
    assert set(table) == set(CATALOGUE)
    assert {name for name, row in table.items() if not row.files} == set(COMPILED)
    assert {name for name, row in table.items() if not row.tables} == set(TABLE_COMPILED)


def test_no_reason_is_left_of_what_is_compiled() -> None:
    assert not set(listed._FILES) & set(COMPILED)
    assert not set(listed._TABLES) & set(TABLE_COMPILED)


def test_all_fifty_nine_have_their_row_and_every_fallback_its_reason() -> None:
    rows = listed.engines()
    assert len(rows) == 59
    for reasons in (listed._FILES, listed._TABLES):
        assert all(len(reason) > 10 for reason in reasons.values())


def test_what_is_compiled_meets_the_reference_200_times_on_files_and_on_tables() -> None:
    """The corpus draws every compiled expectation, and counts what was really compared."""
    assert files.LEAST_CASES >= 200
    assert 2 * tables.LEAST_CASES >= 200  # SQLite and PostgreSQL together
    assert len({e.type for e in files.suite_for(FileCase(1), 1).expectations}) == len(COMPILED)
    drawn = {e.type for e in tables.suite_for(TableCase(1), 1).expectations}
    assert drawn == set(TABLE_COMPILED)


def test_the_readme_says_how_many_are_compiled() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert f"({len(COMPILED)} compiled on files, {len(TABLE_COMPILED)} on tables)" in readme
    assert min(len(COMPILED), len(TABLE_COMPILED)) >= 45
