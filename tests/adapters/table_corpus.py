"""Random tables in a database, and random arguments that fit them."""

from __future__ import annotations

import math
import random
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

NUMBERS = ("i", "n", "w", "f", "c", "z")
LISTED = ("i", "n", "f", "s", "t")
ANY = (*NUMBERS, "s", "t", "o", "d", "h")
TEXTS = ["", "a", "A", "AB", "ABC", "abc", "é", "日本", "x y", "12", "a%b", "a_b", "None", "ABC\n"]
PATTERNS = ["^[A-Z]+$", "a", "b|c", "^.+$", "[^a-c]", "(AB)+C?", "x.y", "é", "^$"]
LIKES = ["%", "a%", "%b%", "_", "a_b", "ABC", "%B_", "a\\%b"]


class TableCase:
    """One random table with the arguments that may be asked of it."""

    numbers: tuple[str, ...] = NUMBERS
    any_column: tuple[str, ...] = ANY
    patterns: list[str] = PATTERNS
    rare: tuple[str, ...] = ("u", "l")  # a time with its zone, a nested value

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rows = self.random.choice([0, 1, 2, 5, 12, 40])
        self.missing = self.random.choice([0.0, 0.2, 0.6, 1.0])
        self.values = self._values()

    @property
    def table(self) -> sa.Table:
        """The table's definition."""
        kinds = {
            "i": sa.Integer(),
            "n": sa.Integer(),
            "w": sa.BigInteger(),
            "f": sa.Double(),
            "c": sa.Numeric(12, 3, asdecimal=False),
            "z": sa.Double(),
            "s": sa.String(40),
            "t": sa.Text(),
            "o": sa.Boolean(),
            "d": sa.Date(),
            "h": sa.DateTime(),
            "u": sa.DateTime(timezone=True),
            "l": sa.JSON(none_as_null=True),
        }
        return sa.Table(
            "data", sa.MetaData(), *(sa.Column(name, kind) for name, kind in kinds.items())
        )

    def fill(self, engine: sa.Engine) -> None:
        """Make the table and put the rows in."""
        table = self.table
        table.drop(engine, checkfirst=True)
        table.create(engine)
        listed = [
            dict(zip(self.values, row, strict=True))
            for row in zip(*self.values.values(), strict=True)
        ]
        if listed:
            with engine.begin() as connection:
                connection.execute(table.insert(), listed)

    def _maybe(self, value: Any) -> Any:
        return None if self.random.random() < self.missing else value

    def _values(self) -> dict[str, list[Any]]:
        draw = self.random
        wide = draw.choice([10, 2**53 - 1, 2**60])
        floats = [0.0, -0.0, 0.1, 1.5, -2.25, 3.0]
        if draw.random() < 0.2:
            floats += [1e300, math.inf, -math.inf]
        elif draw.random() < 0.1:
            floats += [math.nan]  # a value of PostgreSQL's; SQLite stores it as missing
        start = datetime(2013, 1, 1)  # noqa: DTZ001
        makers = {
            "i": lambda: draw.randint(-3, 6),
            "n": lambda: self._maybe(draw.randint(-3, 6)),
            "w": lambda: self._maybe(draw.choice([wide, wide - 1, -wide, 0])),
            "f": lambda: self._maybe(draw.choice(floats)),
            "c": lambda: self._maybe(draw.choice([0, 1.5, Decimal("-2.125"), 3, 4])),
            "z": lambda: None,
            "s": lambda: self._maybe(draw.choice(TEXTS)),
            "t": lambda: draw.choice(TEXTS[1:6]),
            "o": lambda: self._maybe(draw.random() < 0.5),
            "d": lambda: self._maybe(date(2013, 1, 1) + timedelta(days=draw.randint(0, 6))),
            "h": lambda: self._maybe(start + timedelta(hours=draw.randint(0, 60))),
            "u": lambda: self._maybe(
                (start + timedelta(hours=draw.randint(0, 60))).replace(tzinfo=timezone.utc)
            ),
            "l": lambda: self._maybe([draw.randint(0, 3)]),
        }
        return {name: [make() for _ in range(self.rows)] for name, make in makers.items()}

    # --- arguments --------------------------------------------------------------------------

    def number(self, column: str) -> float:
        """Draw a number near the column's values."""
        near = [float(v) for v in self.values[column] if v is not None and math.isfinite(v)]
        return self.random.choice([*near, 0, 1]) + self.random.choice([0, 0, 1, -1, 0.5])

    def bounds(self, low: Any, high: Any) -> dict[str, Any]:
        """Draw one bound or both, strict or not."""
        kept = self.random.choice([("min",), ("max",), ("min", "max")])
        given = {"min": low, "max": high}
        found: dict[str, Any] = {f"{name}_value": given[name] for name in kept}
        for name in kept:
            if self.random.random() < 0.3:
                found[f"strict_{name}"] = True
        return found

    def number_bounds(self, column: str) -> dict[str, Any]:
        """Draw bounds for a column of numbers."""
        low, high = sorted(self.number(column) for _ in range(2))
        return self.bounds(low, high)

    def any_bounds(self) -> dict[str, Any]:
        """Draw a column that has an order, with bounds that fit it."""
        draw = self.random
        column = draw.choice([*self.numbers, "d", "h"])
        if column in "dh":
            low, high = sorted(f"2013-01-0{draw.randint(1, 6)}" for _ in range(2))
            if column == "h" and draw.random() < 0.5:
                low, high = f"{low} 03:00:00", f"{high}T13:00:00"
            return {"column": column, **self.bounds(low, high)}
        return {"column": column, **self.number_bounds(column)}

    def counts(self) -> dict[str, Any]:
        """Draw bounds for a count."""
        low, high = sorted(self.random.randint(0, 8) for _ in range(2))
        return {"min_value": low, "max_value": high, "strict_min": self.random.random() < 0.3}

    def members(self, column: str, most: int = 5) -> list[Any]:
        """Draw a set of values of the column's kind."""
        pool: list[Any] = {
            "s": [*TEXTS, "no"],
            "t": [*TEXTS, "no"],
            "d": [f"2013-01-0{n}" for n in range(1, 8)],
        }.get(column, [-2, -1, 0, 1, 2, 3, 1.5, 0.1, 4.0])
        if column in "in":
            pool = [v for v in pool if isinstance(v, int)]
        return self.random.sample(pool, self.random.randint(1, min(most, len(pool))))

    def condition(self) -> dict[str, Any]:
        """Draw a row condition, or none."""
        draw = self.random
        if draw.random() < 0.65:
            return {}
        text = draw.choice(
            [
                'col("i") > 0',
                'col("n") <= 2',
                'col("t") == "a"',
                'col("s").notnull()',
                'col("f")<1.5',
            ]
        )
        if draw.random() < 0.5:
            return {"row_condition": text, "condition_parser": "great_expectations"}
        return {"row_condition": self._objects()}

    def _objects(self) -> dict[str, Any]:
        """Draw a condition as Great Expectations 1.x writes it."""
        draw = self.random
        one = {
            "type": "comparison",
            "column": {"name": "i"},
            "operator": draw.choice(["==", "!=", "<", "<=", ">", ">="]),
            "parameter": draw.randint(-1, 4),
        }
        few = {
            "type": "comparison",
            "column": {"name": "t"},
            "operator": draw.choice(["IN", "NOT_IN"]),
            "parameter": ["a", "A"],
        }
        null = {"type": "nullity", "column": {"name": "n"}, "is_null": draw.random() < 0.5}
        both = {"type": draw.choice(["and", "or"]), "conditions": [one, draw.choice([few, null])]}
        return draw.choice([one, few, null, both])

    def kwargs(self, kind: str) -> dict[str, Any]:
        """Draw the arguments of one expectation."""
        found = self._kwargs(kind.replace("expect_", "", 1))
        maps = (
            "column_values_to",
            "column_value_",
            "column_pair",
            "multicolumn",
            "compound",
            "select",
        )
        typed = "type" in kind
        if any(name in kind for name in maps) and not typed and self.random.random() < 0.5:
            found["mostly"] = self.random.choice([0, 0.5, 0.75, 0.9])
        table_wide = "table_column" in kind or kind == "expect_column_to_exist" or typed
        if not table_wide and "pair_values_to_be_in_set" not in kind:
            found |= self.condition()
        if "column" in found and not typed and self.random.random() < 0.04:
            found["column"] = self.random.choice([*self.any_column, *self.rare])
        return found

    def _kwargs(self, kind: str) -> dict[str, Any]:
        for word, make in (
            ("table_row", self._row_count),
            ("table_", self._shape),
            ("column_to_exist", self._shape),
            ("type", self._types),
            ("like_pattern", self._patterns),
            ("regex", self._patterns),
            ("pair", self._several),
            ("multicolumn", self._several),
            ("select", self._several),
            ("compound", self._several),
            ("length", self._lengths),
            ("most_common", self._sets),
            ("_set", self._sets),
        ):
            if word in kind:
                return make(kind)
        return self._figures(kind)

    def _row_count(self, kind: str) -> dict[str, Any]:
        if "equal" in kind:
            return {"value": self.random.choice([self.rows, 3])}
        return self.counts()

    def _lengths(self, kind: str) -> dict[str, Any]:
        given = {"value": self.random.randint(0, 4)} if "equal" in kind else self.counts()
        return {"column": self.random.choice("st"), **given}

    def _sets(self, kind: str) -> dict[str, Any]:
        draw = self.random
        if "most_common" in kind:
            column = draw.choice("inst")
            ties = draw.random() < 0.5
            return {"column": column, "value_set": self.members(column), "ties_okay": ties}
        column = draw.choice([*LISTED, "d"] if "distinct" in kind else LISTED)
        return {"column": column, "value_set": self.members(column)}

    def _figures(self, kind: str) -> dict[str, Any]:
        draw, number = self.random, self.random.choice(self.numbers)
        if "quantile" in kind:
            return {"column": number, "quantile_ranges": self._quantiles(number)}
        if "z_score" in kind:
            threshold, double = draw.choice([0.5, 1, 2]), draw.random() < 0.5
            column = draw.choice("infc")
            return {"column": column, "threshold": threshold, "double_sided": double}
        if "proportion" in kind:
            return {
                "column": draw.choice(self.any_column),
                "min_value": draw.choice([0, 0.25, 0.5, 1]),
            }
        if "unique_value_count" in kind:
            return {"column": draw.choice(self.any_column), **self.counts()}
        if kind in {"column_values_to_be_between", "column_max_to_be_between"}:
            return self.any_bounds()
        if kind.endswith("between"):
            return {"column": number, **self.number_bounds(number)}
        return {"column": draw.choice(self.any_column)}

    def _shape(self, kind: str) -> dict[str, Any]:
        draw, names = self.random, list(self.values)
        if kind == "column_to_exist":
            return {"column": draw.choice(["i", "gone"]), "column_index": draw.choice([0, 1, -9])}
        if "count_to_equal" in kind:
            return {"value": draw.choice([len(names), 4])}
        if "count" in kind:
            return {"min_value": draw.randint(0, 14)}
        if "ordered" in kind:
            return {"column_list": draw.choice([names, names[::-1], names[:3]])}
        return {
            "column_set": draw.choice([names, names[::-1], names[:3], [*names, "more"]]),
            "exact_match": draw.choice([True, False]),
        }

    def _types(self, kind: str) -> dict[str, Any]:
        draw = self.random
        column = draw.choice(["i", "w", "s", "t", "d", "o"])
        names = ["INTEGER", "BIGINT", "VARCHAR(40)", "VARCHAR", "TEXT", "DATE", "BOOLEAN"]
        if "list" in kind:
            return {"column": column, "type_list": draw.sample(names, 3)}
        return {"column": column, "type_": draw.choice(names)}

    def _patterns(self, kind: str) -> dict[str, Any]:
        draw = self.random
        like = "like" in kind
        name, pool = ("like_pattern", LIKES) if like else ("regex", self.patterns)
        column = {"column": draw.choice("st")}
        if not kind.endswith("_list"):
            given: dict[str, Any] = {**column, name: draw.choice(pool)}
        else:
            given = {**column, f"{name}_list": draw.sample(pool, draw.randint(1, 3))}
            if "not_match" not in kind:
                given["match_on"] = draw.choice(["any", "all"])
        if like and draw.random() < 0.3:
            given["escape"] = "\\"
        return given

    def _several(self, kind: str) -> dict[str, Any]:
        draw = self.random
        pairs = [("s", "t"), ("i", "n"), ("n", "i"), ("f", "c"), ("w", "n")]
        if "pair" in kind:
            a, b = draw.choice(pairs if "in_set" not in kind else pairs[:3])
            found: dict[str, Any] = {"column_A": a, "column_B": b}
            found |= draw.choice(
                [{}, {"ignore_row_if": "either_value_is_missing"}, {"ignore_row_if": "neither"}]
            )
            if "greater" in kind:
                found["or_equal"] = draw.random() < 0.5
            if "in_set" in kind:
                found["value_pairs_set"] = [
                    [self.members(a, 1)[0], self.members(b, 1)[0]]
                    for _ in range(draw.randint(1, 6))
                ]
            return found
        numbers = kind.startswith("multicolumn_sum")
        pool = ["i", "n", "f"] if numbers else draw.choice([["i", "n", "w"], ["s", "t"]])
        if kind.startswith("compound"):
            pool = ["i", "n", "s", "o", "d"]
        listed = draw.sample(pool, draw.randint(2, len(pool)))
        found = {"column_list": listed} | draw.choice(
            [{}, {"ignore_row_if": "any_value_is_missing"}, {"ignore_row_if": "never"}]
        )
        return found | ({"sum_total": draw.choice([0, 1, 3, 4.5])} if numbers else {})

    def _quantiles(self, column: str) -> dict[str, Any]:
        draw = self.random
        quantiles = sorted(draw.sample([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0], draw.randint(1, 3)))
        ranges = []
        for _ in quantiles:
            low, high = sorted(self.number(column) for _ in range(2))
            ranges.append([draw.choice([low, None]), draw.choice([high, None])])
        return {"quantiles": quantiles, "value_ranges": ranges}
