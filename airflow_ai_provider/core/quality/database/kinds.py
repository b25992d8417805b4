"""A database's types by the names that DuckDB has for them, so that tables and files compare."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

UNKNOWN = '"NULL"'  # DuckDB's type of a column without a value

_SIZE = re.compile(r"\((\d+)(?:\s*,\s*(-?\d+))?\)")
_NAMES: dict[str, str] = {
    **dict.fromkeys(("SMALLINT", "SMALLSERIAL", "INT2"), "SMALLINT"),
    **dict.fromkeys(("INT", "INTEGER", "SERIAL", "INT4", "MEDIUMINT"), "INTEGER"),
    **dict.fromkeys(("BIGINT", "BIGSERIAL", "INT8"), "BIGINT"),
    "TINYINT": "TINYINT",
    **dict.fromkeys(("REAL", "FLOAT4"), "FLOAT"),
    **dict.fromkeys(
        ("FLOAT", "DOUBLE", "DOUBLE PRECISION", "FLOAT8", "DOUBLE_PRECISION"), "DOUBLE"
    ),
    **dict.fromkeys(("NUMERIC", "DECIMAL", "NUMBER"), "DECIMAL"),
    **dict.fromkeys(("BOOLEAN", "BOOL"), "BOOLEAN"),
    "DATE": "DATE",
    **dict.fromkeys(("TIMESTAMP", "DATETIME", "TIMESTAMP WITHOUT TIME ZONE"), "TIMESTAMP"),
    **dict.fromkeys(
        ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ", "DATETIME WITH TIME ZONE"),
        "TIMESTAMP WITH TIME ZONE",
    ),
    **dict.fromkeys(("TIME", "TIME WITHOUT TIME ZONE"), "TIME"),
    "INTERVAL": "INTERVAL",
    **dict.fromkeys(
        ("TEXT", "VARCHAR", "CHAR", "CHARACTER", "CHARACTER VARYING", "NVARCHAR", "NCHAR"),
        "VARCHAR",
    ),
    **dict.fromkeys(("CLOB", "BPCHAR", "STRING", "MEDIUMTEXT", "LONGTEXT", "NAME"), "VARCHAR"),
    **dict.fromkeys(("BYTEA", "BLOB", "BINARY", "VARBINARY"), "BLOB"),
    **dict.fromkeys(("JSON", "JSONB"), "JSON"),
    "UUID": "UUID",
}
_DECIMAL_DIGITS = 38  # DuckDB's most


def duckdb_type(written: str) -> str:
    """Return DuckDB's name of the type that a database calls ``written``; else that, in capitals.

    The length of a text is left out, since DuckDB has none.
    """
    name = " ".join(written.upper().split())
    size = _SIZE.search(name)
    plain = " ".join(_SIZE.sub(" ", name).split())
    found = _NAMES.get(plain)
    if found is None:
        return name
    if found == "DECIMAL" and size and int(size[1]) <= _DECIMAL_DIGITS:
        return f"DECIMAL({size[1]},{size[2] or 0})"
    return "DOUBLE" if found == "DECIMAL" else found


def type_of_values(values: Iterable[Any]) -> str:
    """Return the type of a column by some of its values, its least and its greatest.

    So a column whose type nobody tells (a query's on SQLite) is what its values are.
    """
    kinds = {_type_of(value) for value in values if value is not None}
    if not kinds:
        return UNKNOWN
    if len(kinds) == 1:
        return kinds.pop()
    return "DOUBLE" if kinds <= {"BIGINT", "DOUBLE"} else "VARCHAR"


def _type_of(value: Any) -> str:
    for kind, name in (
        (bool, "BOOLEAN"),
        (int, "BIGINT"),
        ((float, Decimal), "DOUBLE"),
        (datetime, "TIMESTAMP"),
        (date, "DATE"),
        (bytes, "BLOB"),
    ):
        if isinstance(value, kind):
            return name
    return "VARCHAR"
