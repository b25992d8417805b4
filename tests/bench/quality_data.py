"""The table and the suite of the benchmarks: ten columns and twelve expectations, two of which find
something and one of which fails.

``FIGURES`` and ``SAMPLES`` are the same by hand. As a person would, they leave out what cannot
fail: where ``id`` is unique by itself, so is every combination with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

ROWS = 1_000_000
_COLUMNS = """
    i AS id,
    (i * 792900003301) % 4503599627370496 AS account,
    random() * 100 AS amount,
    (random() * 1000)::INTEGER AS items,
    CASE WHEN random() < 0.02 THEN NULL ELSE random() END AS share,
    ['north', 'east', 'south', 'west'][1 + i % 4] AS region,
    'user' || (i % 50000) || CASE WHEN i % 1000 = 7 THEN '.example.com' ELSE '@example.com' END
        AS mail,
    (i % 97)::BIGINT AS grade,
    DATE '2020-01-01' + (i % 700)::INTEGER AS day,
    random() * 10 AS score
"""


def expectation(kind: str, **kwargs: Any) -> dict[str, Any]:
    """Return an expectation as it stands in a suite."""
    return {"type": f"expect_{kind}", "kwargs": kwargs}


SUITE: dict[str, Any] = {
    "name": "orders",
    "expectations": [
        expectation("table_row_count_to_be_between", min_value=1),
        expectation("column_values_to_not_be_null", column="id"),
        expectation("column_values_to_be_unique", column="id"),
        expectation("compound_columns_to_be_unique", column_list=["id", "region"]),
        expectation(
            "column_values_to_be_between", column="amount", min_value=0, max_value=99, mostly=0.9
        ),
        expectation(
            "column_values_to_be_in_set",
            column="region",
            value_set=["north", "east", "south", "west"],
        ),
        expectation("column_values_to_match_regex", column="mail", regex="^[a-z0-9]+@example"),
        expectation("column_value_lengths_to_be_between", column="mail", min_value=5, max_value=40),
        expectation("column_values_to_not_be_null", column="share", mostly=0.9),
        expectation("column_mean_to_be_between", column="score", min_value=4, max_value=6),
        expectation("column_max_to_be_between", column="grade", max_value=100),
        expectation(
            "column_quantile_values_to_be_between",
            column="amount",
            quantile_ranges={"quantiles": [0.5], "value_ranges": [[40, 60]]},
        ),
    ],
}

# as the suite, and one column more that comes once: numbers as scattered as digests, which take
# a hash table as long as the data
SCATTERED = {
    **SUITE,
    "expectations": [
        *SUITE["expectations"],
        expectation("column_values_to_be_unique", column="account"),
    ],
}

FIGURES = """
SELECT
    count(*), count(id), count(DISTINCT id),
    count(CASE WHEN amount < 0 OR amount > 99 THEN 1 END),
    count(CASE WHEN region NOT IN ('north', 'east', 'south', 'west') THEN 1 END),
    count(CASE WHEN NOT regexp_matches(mail, '^[a-z0-9]+@example') THEN 1 END),
    count(CASE WHEN length(mail) NOT BETWEEN 5 AND 40 THEN 1 END),
    count(share), avg(score), max(grade), quantile_disc(amount, 0.5)
FROM read_parquet($path)
"""
SAMPLES = (
    "SELECT amount FROM read_parquet($path) WHERE amount < 0 OR amount > 99 LIMIT 20",
    "SELECT mail FROM read_parquet($path) "
    "WHERE NOT regexp_matches(mail, '^[a-z0-9]+@example') LIMIT 20",
)


def write_orders(path: Path, rows: int = ROWS) -> Path:
    """Write the table as Parquet, always the same."""
    connection = duckdb.connect(config={"threads": 1})  # else the drawn values differ
    try:
        connection.execute("SELECT setseed(0.4)")
        connection.execute(
            f"COPY (SELECT {_COLUMNS} FROM range({rows}) AS rows(i)) TO '{path}' (FORMAT parquet)"
        )
    finally:
        connection.close()
    return path
