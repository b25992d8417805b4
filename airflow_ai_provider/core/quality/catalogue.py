"""Great Expectations' core expectations and their arguments.

Kept here so that a misspelt expectation or argument is found before any data is read, without the
seven CPU seconds that importing Great Expectations costs. A test holds it to the installed version.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The arguments that an expectation needs, and those that it may have."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every argument."""
        return self.required + self.optional


# Arguments that any expectation may carry; they say how results are shown, not what is expected.
COMMON = ("batch_id", "result_format", "include_config", "catch_exceptions", "auto")

# An argument up to 0.18 of those that compare; 1.x has none, so what is not compiled is refused.
PARSED = "parse_strings_as_datetimes"
PARSING = (
    "expect_column_values_to_be_between",
    "expect_column_max_to_be_between",
    "expect_column_min_to_be_between",
)

_ROWS = ("row_condition", "condition_parser")
_BETWEEN = ("min_value", "max_value", "strict_min", "strict_max")
_COLUMN_MAP = ("mostly", *_ROWS)


def _map(*required: str, optional: tuple[str, ...] = ()) -> Signature:
    return Signature(required=("column", *required), optional=_COLUMN_MAP + optional)


def _aggregate(*required: str, optional: tuple[str, ...] = ()) -> Signature:
    return Signature(required=("column", *required), optional=_ROWS + optional)


def _pair(*required: str, optional: tuple[str, ...] = ()) -> Signature:
    return Signature(
        required=("column_A", "column_B", *required),
        optional=(*_COLUMN_MAP, "ignore_row_if", *optional),
    )


def _multicolumn(*required: str) -> Signature:
    return Signature(required=("column_list", *required), optional=(*_COLUMN_MAP, "ignore_row_if"))


CATALOGUE: dict[str, Signature] = {
    "expect_column_distinct_values_to_be_in_set": _aggregate("value_set"),
    "expect_column_distinct_values_to_contain_set": _aggregate("value_set"),
    "expect_column_distinct_values_to_equal_set": _aggregate("value_set"),
    "expect_column_kl_divergence_to_be_less_than": _aggregate(
        optional=(
            "partition_object",
            "threshold",
            "internal_weight_holdout",
            "tail_weight_holdout",
            "bucketize_data",
            "min_value",
            "max_value",
        )
    ),
    "expect_column_max_to_be_between": _aggregate(optional=_BETWEEN),
    "expect_column_mean_to_be_between": _aggregate(optional=_BETWEEN),
    "expect_column_median_to_be_between": _aggregate(optional=_BETWEEN),
    "expect_column_min_to_be_between": _aggregate(optional=_BETWEEN),
    "expect_column_most_common_value_to_be_in_set": _aggregate(
        "value_set", optional=("ties_okay",)
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": _pair(optional=("or_equal",)),
    "expect_column_pair_values_to_be_equal": _pair(),
    "expect_column_pair_values_to_be_in_set": _pair("value_pairs_set"),
    "expect_column_proportion_of_non_null_values_to_be_between": _aggregate(optional=_BETWEEN),
    "expect_column_proportion_of_unique_values_to_be_between": _aggregate(optional=_BETWEEN),
    "expect_column_quantile_values_to_be_between": _aggregate(
        "quantile_ranges", optional=("allow_relative_error",)
    ),
    "expect_column_stdev_to_be_between": _aggregate(optional=_BETWEEN),
    "expect_column_sum_to_be_between": _aggregate(optional=_BETWEEN),
    "expect_column_to_exist": Signature(required=("column",), optional=("column_index",)),
    "expect_column_type_to_be": Signature(required=("column", "type_")),
    "expect_column_unique_value_count_to_be_between": _aggregate(optional=_BETWEEN),
    "expect_column_value_lengths_to_be_between": _map(optional=_BETWEEN),
    "expect_column_value_lengths_to_equal": _map("value"),
    "expect_column_value_z_scores_to_be_less_than": _map("threshold", "double_sided"),
    "expect_column_values_to_be_between": _map(optional=_BETWEEN),
    "expect_column_values_to_be_dateutil_parseable": _map(),
    "expect_column_values_to_be_decreasing": _map(optional=("strictly",)),
    "expect_column_values_to_be_in_set": _map("value_set"),
    "expect_column_values_to_be_in_type_list": _map(optional=("type_list",)),
    "expect_column_values_to_be_increasing": _map(optional=("strictly",)),
    "expect_column_values_to_be_json_parseable": _map(),
    "expect_column_values_to_be_null": _map(),
    "expect_column_values_to_be_of_type": _map("type_"),
    "expect_column_values_to_be_unique": _map(),
    "expect_column_values_to_match_json_schema": _map("json_schema"),
    "expect_column_values_to_match_like_pattern": _map("like_pattern", optional=("escape",)),
    "expect_column_values_to_match_like_pattern_list": _map(
        "like_pattern_list", optional=("match_on", "escape")
    ),
    "expect_column_values_to_match_regex": _map(optional=("regex",)),
    "expect_column_values_to_match_regex_list": _map("regex_list", optional=("match_on",)),
    "expect_column_values_to_match_strftime_format": _map("strftime_format"),
    "expect_column_values_to_not_be_in_set": _map("value_set"),
    "expect_column_values_to_not_be_null": _map(),
    "expect_column_values_to_not_be_outliers": _map(optional=("method", "multiplier")),
    "expect_column_values_to_not_match_like_pattern": _map("like_pattern", optional=("escape",)),
    "expect_column_values_to_not_match_like_pattern_list": _map(
        "like_pattern_list", optional=("escape",)
    ),
    "expect_column_values_to_not_match_regex": _map("regex"),
    "expect_column_values_to_not_match_regex_list": _map("regex_list"),
    "expect_compound_columns_to_be_unique": _multicolumn(),
    "expect_multicolumn_sum_to_equal": _multicolumn("sum_total"),
    "expect_multicolumn_values_to_be_equal": _multicolumn(),
    "expect_query_results_to_match_comparison": Signature(
        required=("base_query", "comparison_data_source_name", "comparison_query"),
        optional=("mostly",),
    ),
    "expect_select_column_values_to_be_unique_within_record": _multicolumn(),
    "expect_table_column_count_to_be_between": Signature(optional=("min_value", "max_value")),
    "expect_table_column_count_to_equal": Signature(required=("value",)),
    "expect_table_columns_to_match_ordered_list": Signature(optional=("column_list",)),
    "expect_table_columns_to_match_set": Signature(optional=("column_set", "exact_match")),
    "expect_table_row_count_to_be_between": Signature(optional=(*_BETWEEN, *_ROWS)),
    "expect_table_row_count_to_equal": Signature(required=("value",), optional=_ROWS),
    "expect_table_row_count_to_equal_other_table": Signature(
        required=("other_table_name",), optional=_ROWS
    ),
    "unexpected_rows_expectation": Signature(required=("unexpected_rows_query",)),
}
