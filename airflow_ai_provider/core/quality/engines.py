"""Who decides what: every core expectation, by the kind of data, and why not the compiler."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_ai_provider.core.quality.catalogue import CATALOGUE
from airflow_ai_provider.core.quality.compiler import COMPILED

_PYTHON = "the reference runs Python on each value"
_ROW_ORDER = "a table has no order of rows; the reference refuses it too"
_REFUSED = "the reference has it for databases alone"
_PANDAS_ONLY = "the reference has it for frames alone"

# Why an expectation has no compiled form for files and frames, or for tables.
_FILES = {
    "expect_column_kl_divergence_to_be_less_than": "its bins are the reference's own",
    "expect_column_values_to_be_dateutil_parseable": _PYTHON,
    "expect_column_values_to_be_json_parseable": _PYTHON,
    "expect_column_values_to_match_json_schema": _PYTHON,
    "expect_column_values_to_match_strftime_format": _PYTHON,
    "expect_column_values_to_match_like_pattern": _REFUSED,
    "expect_column_values_to_match_like_pattern_list": _REFUSED,
    "expect_column_values_to_not_match_like_pattern": _REFUSED,
    "expect_column_values_to_not_match_like_pattern_list": _REFUSED,
    "expect_column_values_to_not_be_outliers": "its quartiles are the reference's own",
    "expect_query_results_to_match_comparison": "it compares with another data source",
    "expect_table_row_count_to_equal_other_table": _REFUSED,
    "unexpected_rows_expectation": "its query is the user's own",
}
_TABLES = {
    "expect_column_kl_divergence_to_be_less_than": "its bins are the reference's own",
    "expect_column_values_to_be_dateutil_parseable": _PANDAS_ONLY,
    "expect_column_values_to_be_json_parseable": _PANDAS_ONLY,
    "expect_column_values_to_match_json_schema": _PANDAS_ONLY,
    "expect_column_values_to_match_strftime_format": _PANDAS_ONLY,
    "expect_column_values_to_be_increasing": _ROW_ORDER,
    "expect_column_values_to_be_decreasing": _ROW_ORDER,
    "expect_column_values_to_not_be_outliers": "its quartiles are the reference's own",
    "expect_query_results_to_match_comparison": "it compares with another data source",
    "expect_table_row_count_to_equal_other_table": "it reads another table",
    "unexpected_rows_expectation": "its query is the user's own",
}


@dataclass(frozen=True, kw_only=True)
class Engines:
    """Who decides an expectation on files and frames, and on tables; empty reason: compiled."""

    expectation: str
    files: str
    tables: str


def engines() -> tuple[Engines, ...]:
    """Return the table of expectations; what is compiled may still go to the reference.

    Then the arguments or the data have no one meaning, and the report gives the reason.
    """
    from airflow_ai_provider.core.quality.database.compiler import TABLE_COMPILED

    return tuple(
        Engines(
            expectation=name,
            files="" if name in COMPILED else _FILES[name],
            tables="" if name in TABLE_COMPILED else _TABLES[name],
        )
        for name in CATALOGUE
    )
