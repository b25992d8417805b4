"""Random tables as Parquet and as frames, and random arguments that fit them."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.adapters.table_corpus import TEXTS, TableCase

PATTERNS = [
    *("^[A-Z]{3}$", "a", "b|c", r"\d", r"^\w+$", r"\s", "^$", "^.+$", "[^a-c]", "(AB)+C?"),
    *("x.y", "é", "", r"^[^\d]*$", "[a-c-]"),
]
ALL_TEXTS = [*TEXTS, "e\u0301", "٣"]
LISTED = ("i", "n", "w", "f", "s", "t", "o")


class FileCase(TableCase):
    """One random table of a file, with the arguments that may be asked of it."""

    numbers = ("i", "n", "w", "f", "c", "z")
    any_column = ("i", "n", "w", "f", "c", "z", "s", "t", "o", "d", "h")
    rare = ("u", "b", "l", "e", "x")  # zones, nested values, integers beyond a signed one
    patterns = PATTERNS

    def _values(self) -> dict[str, list[Any]]:
        draw = self.random
        wide = draw.choice([10, 2**53 - 1, 2**60])
        floats = [0.0, -0.0, 0.1, 1.5, -2.25, 3.0, math.nan]
        if draw.random() < 0.2:
            floats += [math.inf, -math.inf, 1e300]
        start = datetime(2013, 1, 1)  # noqa: DTZ001
        makers = {
            "i": lambda: draw.randint(-3, 6),
            "n": lambda: self._maybe(draw.randint(-3, 6)),
            "w": lambda: self._maybe(draw.choice([wide, wide - 1, -wide, 0])),
            "f": lambda: self._maybe(draw.choice(floats)),
            "c": lambda: self._maybe(Decimal(draw.choice(["0", "0.1", "1.5", "-2.125", "3"]))),
            "z": lambda: None,
            "s": lambda: self._maybe(draw.choice(ALL_TEXTS)),
            "t": lambda: draw.choice(TEXTS[1:6]),
            "o": lambda: self._maybe(draw.random() < 0.5),
            "d": lambda: self._maybe(date(2013, 1, 1) + timedelta(days=draw.randint(0, 6))),
            "h": lambda: self._maybe(start + timedelta(hours=draw.randint(0, 60))),
            "u": lambda: self._maybe(start + timedelta(hours=draw.randint(0, 60))),
            "b": lambda: self._maybe(start + timedelta(hours=draw.choice([1, 7200, 7201, 7202]))),
            "l": lambda: self._maybe([draw.randint(0, 3)]),
            "e": lambda: self._maybe({"a": draw.randint(0, 1), "b": draw.choice(TEXTS)}),
            "x": lambda: self._maybe(draw.choice([0, 1, 5, 2**63 + 5])),
        }
        return {name: [make() for _ in range(self.rows)] for name, make in makers.items()}

    def arrow(self) -> Any:
        """The table in memory."""
        import pyarrow as pa

        kinds = {
            "i": pa.int32(),
            "n": pa.int64(),
            "w": pa.int64(),
            "f": pa.float64(),
            "c": pa.decimal128(12, 3),
            "z": pa.float64(),
            "s": pa.string(),
            "t": pa.string(),
            "o": pa.bool_(),
            "d": pa.date32(),
            "h": pa.timestamp("us"),
            "u": pa.timestamp("us", tz="UTC"),
            "b": pa.timestamp("us", tz="Europe/Berlin"),
            "l": pa.list_(pa.int64()),
            "e": pa.struct({"a": pa.int64(), "b": pa.string()}),
            "x": pa.uint64(),
        }
        arrays = {n: pa.array(self.values[n], type=k, from_pandas=False) for n, k in kinds.items()}
        return pa.table(arrays)

    def write(self, path: Path) -> None:
        """Write it as Parquet."""
        import pyarrow.parquet as pq

        pq.write_table(self.arrow(), path)

    # --- arguments --------------------------------------------------------------------------

    def any_bounds(self) -> dict[str, Any]:
        """Draw a column that has an order, with bounds that fit it."""
        draw = self.random
        column = draw.choice([*self.numbers, "d", "h", "u", "b"])
        if column not in "dhub":
            return {"column": column, **self.number_bounds(column)}
        low, high = sorted(f"2013-01-0{draw.randint(1, 6)}" for _ in range(2))
        if column != "d":
            low, high = f"{low}T03:00:00", f"{high} 13:00:00"
        if column in "ub":
            low, high = f"{low}+00:00", f"{high}Z"
        return {"column": column, **self.bounds(low, high)}

    def condition(self) -> dict[str, Any]:
        """Draw a row condition, or none."""
        draw = self.random
        if draw.random() < 0.65:
            return {}
        if draw.random() < 0.6:
            text = draw.choice(
                [
                    *("i > 0", "n <= 2", "f != 1.5", "n >= 0 and t == 'a'", "s != 'AB'"),
                    *("s in ['a', 'AB']", "n not in [1, 2]", "0 < i or f < 1", "s.notnull()"),
                    *("n.isnull()", "t > 'A'", "w < 10"),
                ]
            )
            return {"row_condition": text, "condition_parser": "pandas"}
        return {"row_condition": self._objects()}

    def members(self, column: str, most: int = 5) -> list[Any]:
        """Draw a set of values of the column's kind."""
        if column == "o":
            return self.random.choice([[True], [False], [True, False]])
        if column in self.numbers:
            pool = [-2, -1, 0, 1, 2, 3, 1.5, 0.1, 4.0]
            return self.random.sample(pool, self.random.randint(1, most))
        return super().members(column, most)

    def _sets(self, kind: str) -> dict[str, Any]:
        draw = self.random
        column = draw.choice("infst" if "most_common" in kind else LISTED)
        found = {"column": column, "value_set": self.members(column)}
        return found | ({"ties_okay": draw.random() < 0.5} if "most_common" in kind else {})

    def _types(self, kind: str) -> dict[str, Any]:
        draw = self.random
        column = draw.choice(["i", "n", "w", "f", "o"])
        names = ["int", "int64", "int32", "float", "float64", "bool", "double"]
        if "list" in kind:
            return {"column": column, "type_list": draw.sample(names, 3)}
        if "of_type" in kind and draw.random() < 0.3:
            return {"column": "s", "type_": "str"}
        return {"column": column, "type_": draw.choice(names)}

    def _several(self, kind: str) -> dict[str, Any]:
        found = super()._several(kind)
        if kind.startswith("compound") and self.random.random() < 0.6:  # not Python objects alone
            found["column_list"] = self.random.sample(["i", "n", "s", "h", "f"], 2)
        if "column_A" in found and {found["column_A"], found["column_B"]} == {"f", "c"}:
            found |= {"column_A": "f", "column_B": "n"}
        if "pairs_set" in str(found) and self.random.random() < 0.3:
            found["value_pairs_set"].append([None, self.members(found["column_B"], 1)[0]])
        return found

    def _figures(self, kind: str) -> dict[str, Any]:
        if "min" in kind or "null" in kind:
            more = self.any_bounds() if "min" in kind else {}
            every = self.random.choice([*self.any_column, *self.rare])
            if "null" in kind and "proportion" not in kind:
                return {"column": every}
            if more:
                return more
        if "increasing" in kind or "decreasing" in kind:
            column = self.random.choice(["i", "n", "f", "w", "z"])
            return {"column": column, "strictly": self.random.random() < 0.5}
        if any(word in kind for word in ("mean", "sum", "stdev", "median")):
            column = self.random.choice(["i", "n", "w", "f", "z"])
            return {"column": column, **self.number_bounds(column)}
        found = super()._figures(kind)
        if "quantile" in kind and found["column"] == "c":
            found["column"] = "f"
        return found
