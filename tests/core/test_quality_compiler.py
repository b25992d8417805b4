"""What is compiled, what is left over and why, and how figures are judged."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import SuiteError
from airflow_ai_provider.core.quality.check import Outcome
from airflow_ai_provider.core.quality.compiler import COMPILED, READS, Plan, compile_suite
from airflow_ai_provider.core.quality.regex import UnsupportedPatternError, translate
from airflow_ai_provider.core.quality.sql import Column
from airflow_ai_provider.core.quality.suite import parse_suite

COLUMNS = [
    Column(name="id", type="BIGINT"),
    Column(name="amount", type="DOUBLE"),
    Column(name="name", type="VARCHAR"),
    Column(name="day", type="DATE"),
    Column(name="at", type="TIMESTAMP"),
    Column(name="price", type="DECIMAL(10,2)"),
    Column(name='od"d', type="INTEGER"),
]


def plan_of(kind: str, **kwargs: Any) -> Plan:
    entry = {"type": kind, "kwargs": kwargs}
    return compile_suite(parse_suite({"name": "s", "expectations": [entry]}), COLUMNS)


def judged(plan: Plan, *values: Any) -> Outcome:
    """Judge the only check with figures in the order of its reads."""
    [check] = plan.checks
    return check.judge(dict(zip(check.reads, values, strict=True)))


def test_a_figure_is_read_once_for_all_that_need_it() -> None:
    entries = [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": c}}
        for c in ("id", "id", "name")
    ]
    plan = compile_suite(parse_suite({"name": "s", "expectations": entries}), COLUMNS)
    assert len(plan.reads) == 3
    [(reads, statement)] = plan.statements
    assert reads == plan.reads
    assert statement.startswith("SELECT count(*), ")


def test_names_are_quoted() -> None:
    plan = plan_of("expect_column_values_to_not_be_null", column='od"d')
    assert 'count("od""d")' in plan.statements[0][1]


def test_a_missing_column_is_named_with_what_there_is() -> None:
    with pytest.raises(SuiteError, match=r"'ammount', which the data does not have.*id, amount"):
        plan_of("expect_column_mean_to_be_between", column="ammount", min_value=0)


@pytest.mark.parametrize(
    ("kind", "kwargs", "reason"),
    [
        ("expect_column_values_to_be_between", {"column": "day", "min_value": 1}, "DATE"),
        (
            "expect_column_values_to_be_between",
            {"column": "at", "min_value": "2020-01-01"},
            "its bound is a date",
        ),
        ("expect_column_values_to_be_between", {"column": "id", "min_value": "2020-01-01"}, "date"),
        ("expect_column_values_to_be_in_set", {"column": "id", "value_set": ["1"]}, "other kinds"),
        ("expect_column_values_to_be_in_set", {"column": "id", "value_set": [True]}, "other kinds"),
        ("expect_column_values_to_match_regex", {"column": "name", "regex": "(?=a)"}, "assert"),
        ("expect_column_values_to_match_regex", {"column": "id", "regex": "1"}, "BIGINT"),
        (
            "expect_column_values_to_not_be_null",
            {"column": "id", "row_condition": "id + 1 > 1", "condition_parser": "pandas"},
            "row_condition",
        ),
        ("expect_column_values_to_be_json_parseable", {"column": "name"}, "no compiled form"),
        ("expect_my_own", {"anything": 1}, "custom"),
    ],
)
def test_what_cannot_mean_the_same_is_left_over(
    kind: str, kwargs: dict[str, Any], reason: str
) -> None:
    [leftover] = plan_of(kind, **kwargs).leftovers
    assert reason in leftover.reason


def test_mostly_counts_present_values() -> None:
    plan = plan_of("expect_column_values_to_be_between", column="amount", min_value=0, mostly=0.9)
    outcome = judged(plan, 20, 10, 1)
    assert outcome.success
    assert outcome.result == {
        "element_count": 20,
        "unexpected_count": 1,
        "unexpected_percent": 10.0,
        "missing_count": 10,
        "missing_percent": 50.0,
        "unexpected_percent_total": 5.0,
        "unexpected_percent_nonmissing": 10.0,
    }


@pytest.mark.parametrize(
    ("bound", "figures", "unsure"),
    [
        (0.9, (1.0, 3.0, 4), None),
        (1.0 + 1e-12, (1.0, 3.0, 4), "too close"),
        (0.9, (1.0, 1e150, 4), "infinite"),
        (0.9, (math.nan, math.inf, 4), "infinite"),
        (0.0, (0.0, 0.0, 4), None),
    ],
)
def test_a_mean_at_its_bound_is_left_to_the_reference(
    bound: float, figures: tuple[float, float, int], unsure: str | None
) -> None:
    plan = plan_of("expect_column_mean_to_be_between", column="amount", min_value=bound)
    outcome = judged(plan, *figures)
    assert (unsure in (outcome.unsure or "")) if unsure else outcome.success


def test_a_mean_of_nothing_fails() -> None:
    plan = plan_of("expect_column_mean_to_be_between", column="amount", min_value=0)
    outcome = judged(plan, None, None, 0)
    assert (outcome.success, outcome.result) == (False, {"observed_value": None})


def test_integers_beyond_a_double_are_left_to_the_reference() -> None:
    plan = plan_of("expect_column_values_to_be_in_set", column="id", value_set=[1])
    [check] = plan.checks
    facts = dict.fromkeys(check.reads, 0) | {'max("id")': 2**53 + 1}
    assert "2^53" in (check.judge(facts).unsure or "")


@pytest.mark.parametrize(
    ("written", "re2"),
    [
        ("a.b", r"a[^\n]b"),
        ("^[A-Z]{3}", r"\A(?:[A-Z]){3,3}"),
        ("(?P<x>ab|c)d", r"(?:(?:ab|c))d"),
        ("a*?", "(?:a){0,}?"),
        (r"\.", r"\x{2e}"),
        ("[^0-9_]", r"[^0-9\x{5f}]"),
    ],
)
def test_a_pattern_in_the_common_subset_has_one_meaning(written: str, re2: str) -> None:
    pattern = translate(written)
    assert pattern.certain
    assert pattern.re2 == re2


@pytest.mark.parametrize("written", ["a$", r"\d", r"\w+", r"[\s]"])
def test_a_pattern_of_two_meanings_is_written_twice(written: str) -> None:
    assert not translate(written).certain


@pytest.mark.parametrize(
    "written",
    [r"(a)\1", "(?=a)", "(?!a)", "(?<=a)b", r"\bword", "(?i)a", "a$b", "a{2000}", r"[a\D]", "("],
)
def test_what_re2_cannot_say_is_refused(written: str) -> None:
    with pytest.raises(UnsupportedPatternError):
        translate(written)


def test_most_expectations_are_compiled() -> None:
    assert len(COMPILED) >= 45


@pytest.mark.parametrize(
    ("bound", "strict", "written"),
    [
        (0.1, False, ">= '0.11'"),  # the float is a little more than a tenth
        (0.1, True, "> '0.10'"),
        (0.25, False, ">= '0.25'"),
        (1e300, False, "false"),
        (float("-inf"), False, "true"),
    ],
)
def test_a_decimal_is_compared_exactly(bound: float, strict: bool, written: str) -> None:
    kwargs = {"column": "price", "min_value": bound, "strict_min": strict}
    [check] = plan_of("expect_column_values_to_be_between", **kwargs).checks
    assert written in (check.failing or "")


def test_a_huge_suite_is_read_in_several_statements() -> None:
    entries = [
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "id", "max_value": n}}
        for n in range(1200)
    ]
    plan = compile_suite(parse_suite({"name": "s", "expectations": entries}), COLUMNS)
    assert {len(reads) <= READS for reads, _ in plan.statements} == {True}
    assert sum(len(reads) for reads, _ in plan.statements) == len(plan.reads) == 1202


@given(st.text(max_size=30))
def test_any_row_condition_is_read_or_left_over(written: str) -> None:
    kwargs = {"column": "id", "row_condition": written, "condition_parser": "pandas"}
    try:
        plan = plan_of("expect_column_values_to_not_be_null", **kwargs)
    except SuiteError:  # it names a column that is not there
        return
    assert len(plan.checks) + len(plan.leftovers) == 1


@pytest.mark.parametrize(
    ("written", "sql"),
    [
        ("id > 1", """coalesce("id" > '1.0'::DOUBLE, false)"""),
        ("1 >= id", """coalesce("id" <= '1.0'::DOUBLE, false)"""),
        ("name != 'a'", """("name" IS DISTINCT FROM 'a')"""),
        ("name not in ['a']", """coalesce(NOT ("name" IN ('a')), true)"""),
        ("id.isnull() or id == 2", """(("id" IS NULL) OR coalesce("id" = '2.0'::DOUBLE, false))"""),
    ],
)
def test_a_row_condition_means_what_pandas_means(written: str, sql: str) -> None:
    kwargs = {"column": "amount", "row_condition": written, "condition_parser": "pandas"}
    [check] = plan_of("expect_column_values_to_not_be_null", **kwargs).checks
    assert f"count(CASE WHEN {sql} THEN 1 END)" in check.reads


@pytest.mark.parametrize(
    "condition",
    [
        {"type": "comparison", "column": {"name": "id"}, "operator": "==", "parameter": True},
        {"type": "comparison", "column": {"name": "id"}, "operator": "==", "parameter": "1"},
        {"type": "comparison", "column": {"name": "id"}, "operator": "~", "parameter": 1},
        {"type": "comparison", "column": {"name": "id"}, "operator": "IN", "parameter": []},
        {"type": "and", "conditions": []},
        {"type": "pass_through", "pass_through_filter": "id > 1"},
        {},
    ],
)
def test_a_condition_of_another_meaning_is_left_over(condition: dict[str, Any]) -> None:
    plan = plan_of("expect_column_values_to_not_be_null", column="id", row_condition=condition)
    assert len(plan.leftovers) == 1
