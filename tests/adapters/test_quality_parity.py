"""Great Expectations on pandas is the reference: every compiled expectation says what it says.

Random tables (missing values, NaN, infinities, signed zeros, duplicates, no rows, all missing,
unicode, line breaks, truth values, times, integers beyond 2^53) meet random arguments. Where the
compiled form says that it is unsure, nothing is compared: the gate asks the reference then.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.core.quality.check import Outcome
from airflow_ai_provider.core.quality.compiler import COMPILED, compile_suite
from airflow_ai_provider.core.quality.suite import Suite, parse_suite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TABLES = 60
LEAST_CASES = 30
NUMBERS = ("i", "n", "w", "f", "z")
COUNTABLE = (*NUMBERS, "s", "t", "o", "d")
TEXTS = [
    "",
    "a",
    "A",
    "AB",
    "ABC",
    "abc",
    "ABC\n",
    "é",
    "日本",
    "e\u0301",
    "x y",
    "12",
    "٣",
    "None",
]
PATTERNS = [
    "^[A-Z]{3}$",
    "a",
    "b|c",
    r"\d",
    r"^\w+$",
    r"\s",
    "^$",
    "^.+$",
    "[^a-c]",
    "(AB)+C?",
    "x.y",
    "é",
    "",
    r"^[^\d]*$",
    "[a-c-]",
]


class Tables:
    """Random tables and random arguments that fit them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rows = self.random.choice([0, 1, 2, 5, 12, 40])
        self.missing = self.random.choice([0.0, 0.2, 0.6, 1.0])
        self.values: dict[str, list[Any]] = {}

    def maybe(self, value: Any) -> Any:
        return None if self.random.random() < self.missing else value

    def write(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        draw = self.random
        wide = draw.choice([10, 2**53 - 1, 2**60])
        floats = [0.0, -0.0, 0.1, 1.5, -2.25, 3.0, math.nan]
        if draw.random() < 0.2:
            floats += [math.inf, -math.inf, 1e300]
        start = datetime(2013, 1, 1)  # noqa: DTZ001
        kinds = {
            "i": (pa.int32(), lambda: draw.randint(-3, 6)),
            "n": (pa.int64(), lambda: self.maybe(draw.randint(-3, 6))),
            "w": (pa.int64(), lambda: self.maybe(draw.choice([wide, wide - 1, -wide, 0]))),
            "f": (pa.float64(), lambda: self.maybe(draw.choice(floats))),
            "z": (pa.float64(), lambda: None),
            "s": (pa.string(), lambda: self.maybe(draw.choice(TEXTS))),
            "t": (pa.string(), lambda: draw.choice(TEXTS[1:6])),
            "o": (pa.bool_(), lambda: self.maybe(draw.random() < 0.5)),
            "d": (
                pa.timestamp("us"),
                lambda: self.maybe(start + timedelta(hours=draw.randint(0, 20))),
            ),
        }
        columns = {}
        for name, (kind, make) in kinds.items():
            self.values[name] = [make() for _ in range(self.rows)]
            columns[name] = pa.array(self.values[name], type=kind, from_pandas=False)
        pq.write_table(pa.table(columns), path)

    # --- arguments --------------------------------------------------------------------------

    def number(self, column: str) -> float:
        near = [v for v in self.values[column] if v is not None and math.isfinite(v)]
        base = self.random.choice([*near, 0, 1])
        return base + self.random.choice([0, 0, 1, -1, 0.5])

    def bounds(self, column: str, *, figure: float | None = None) -> dict[str, Any]:
        low, high = sorted(self.number(column) for _ in range(2))
        kept = self.random.choice([("min_value",), ("max_value",), ("min_value", "max_value")])
        given: dict[str, Any] = {"min_value": low, "max_value": high}
        given = {name: given[name] for name in kept}
        for name in kept:
            if self.random.random() < 0.3:
                given[name.replace("_value", "").join(["strict_", ""])] = True
        return given

    def counts(self) -> dict[str, Any]:
        low, high = sorted(self.random.randint(0, 8) for _ in range(2))
        return {"min_value": low, "max_value": high, "strict_min": self.random.random() < 0.3}

    def share(self) -> dict[str, Any]:
        return {"min_value": self.random.choice([0, 0.25, 0.5]), "max_value": 1}

    def mostly(self) -> dict[str, Any]:
        return self.random.choice([{}, {"mostly": self.random.choice([0, 0.5, 0.75, 0.9])}])

    def members(self, column: str) -> list[Any]:
        pool: list[Any] = {
            "s": [*TEXTS, "no"],
            "t": [*TEXTS, "no"],
            "o": [True, False],
        }.get(column, [-2, -1, 0, 1, 2, 3, 1.5, 0.1, 4.0])
        return self.random.sample(pool, self.random.randint(1, min(5, len(pool))))

    def kwargs(self, kind: str) -> dict[str, Any]:
        draw = self.random
        number = draw.choice(NUMBERS)
        column = {"column": draw.choice(COUNTABLE)}
        listed = draw.choice([*NUMBERS, "s", "t", "o"])
        names = list(self.values)
        made: dict[str, Any] = {
            "expect_table_row_count_to_be_between": self.counts,
            "expect_table_row_count_to_equal": lambda: {"value": draw.choice([self.rows, 3])},
            "expect_table_column_count_to_be_between": lambda: {"min_value": draw.randint(0, 12)},
            "expect_table_column_count_to_equal": lambda: {"value": draw.choice([9, 4])},
            "expect_column_to_exist": lambda: {
                "column": draw.choice(["i", "missing"]),
                "column_index": draw.choice([0, 1, -9, 40]),
            },
            "expect_table_columns_to_match_set": lambda: {
                "column_set": draw.choice([names, names[::-1], names[:3], [*names, "more"]]),
                "exact_match": draw.choice([True, False]),
            },
            "expect_table_columns_to_match_ordered_list": lambda: {
                "column_list": draw.choice([names, names[::-1], names[:3]])
            },
            "expect_column_values_to_be_in_set": lambda: {
                "column": listed,
                "value_set": self.members(listed),
            },
            "expect_column_values_to_be_between": lambda: {
                "column": number,
                **self.bounds(number),
            },
            "expect_column_values_to_match_regex": lambda: {
                "column": draw.choice("st"),
                "regex": draw.choice(PATTERNS),
            },
            "expect_column_value_lengths_to_be_between": lambda: {
                "column": draw.choice("st"),
                **self.counts(),
            },
            "expect_column_value_lengths_to_equal": lambda: {
                "column": draw.choice("st"),
                "value": draw.randint(0, 4),
            },
            "expect_compound_columns_to_be_unique": lambda: {
                "column_list": draw.sample(COUNTABLE, draw.choice([2, 2, 3])),
                **draw.choice([{}, {"ignore_row_if": "any_value_is_missing"}]),
                **draw.choice([{}, {"ignore_row_if": "never"}]),
            },
            "expect_column_unique_value_count_to_be_between": lambda: column | self.counts(),
        }
        kind = kind.replace("_to_not_match_", "_to_match_").replace("_to_not_be_in", "_to_be_in")
        if kind in made:
            found = dict(made[kind]())
        elif "distinct_values" in kind:
            found = dict(made["expect_column_values_to_be_in_set"]())
        elif "proportion" in kind:
            found = column | self.share()
        elif "_pair_" in kind:
            a, b = draw.choice([("s", "t"), *(tuple(draw.sample(NUMBERS, 2)) for _ in range(3))])
            found = {"column_A": a, "column_B": b} | draw.choice(
                [{}, {"ignore_row_if": "either_value_is_missing"}, {"ignore_row_if": "neither"}]
            )
            if "greater" in kind:
                found["or_equal"] = draw.choice([True, False])
        elif kind.endswith("_to_be_between"):  # max, min, mean, sum, stdev, median
            found = {"column": number, **self.bounds(number)}
        else:  # null, not null, unique
            found = dict(column)
        rows = "values" in kind or "lengths" in kind or "compound" in kind
        if rows and "distinct" not in kind and "proportion" not in kind:
            found |= self.mostly()
        return found


def compiled(suite: Suite, path: Path) -> dict[int, Outcome]:
    from airflow_ai_provider.adapters.duckdb import open_data

    with open_data(path) as data:
        plan = compile_suite(suite, data.columns)
        facts = dict(zip(plan.reads, data.row(plan.statement), strict=True))
        return {c.expectation.index: c.judge(facts) for c in plan.checks}


def reference(suite: Suite, path: Path) -> dict[int, tuple[bool, dict[str, Any]] | None]:
    import pandas as pd

    from airflow_ai_provider.adapters import great_expectations

    built = great_expectations.build(suite, suite.expectations)
    judged = great_expectations.validate(suite, built, pd.read_parquet(path))
    return {j.expectation.index: (j.success, dict(j.result)) for j in judged}


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, str) and theirs in {"inf", "-inf"}:  # as JSON has it
        return str(ours) == theirs
    if isinstance(ours, float) and isinstance(theirs, (int, float)):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)
    return bool(ours == theirs)


def difference(ours: Outcome, theirs: tuple[bool, dict[str, Any]]) -> str | None:
    if ours.success != theirs[0]:
        return f"success {ours.success} {dict(ours.result or {})} against {theirs}"
    for name, value in (ours.result or {}).items():
        if name in theirs[1] and not same(value, theirs[1][name]):
            if name == "partial_missing_list" and sorted(map(str, value)) == sorted(
                map(str, theirs[1][name])
            ):
                continue
            return f"{name} {value!r} against {theirs[1][name]!r}"
    return None


def test_the_compiled_engine_says_what_great_expectations_says(tmp_path: Path) -> None:
    cases, differences, unsure = Counter[str](), [], Counter[str]()
    for seed in range(TABLES):
        table = Tables(seed)
        path = tmp_path / f"{seed}.parquet"
        table.write(path)
        suite = parse_suite(
            {
                "name": f"table {seed}",
                "expectations": [{"type": k, "kwargs": table.kwargs(k)} for k in COMPILED],
            }
        )
        ours, theirs = compiled(suite, path), reference(suite, path)
        for index, outcome in ours.items():
            expectation = suite.expectations[index]
            if outcome.unsure:
                unsure[expectation.type] += 1
                continue
            cases[expectation.type] += 1
            found = difference(outcome, theirs[index])
            if found:
                differences.append(f"{seed} {expectation.label} {expectation.kwargs}: {found}")
    assert not differences, "\n".join(differences)
    assert {kind: n for kind in COMPILED if (n := cases[kind]) < LEAST_CASES} == {}, unsure
