"""Looking for personal data in files and frames: DuckDB finds candidates, Python checks them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_ai_provider.core.quality.check import RELATION
from airflow_ai_provider.core.quality.personal.kinds import (
    CANDIDATE,
    KINDS,
    NO_CANDIDATE,
    PersonalKind,
)
from airflow_ai_provider.core.quality.personal.tally import Finding, Tally, born
from airflow_ai_provider.core.quality.sql import Column, text

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.duckdb import DuckDBData

_BLOCK = 10_000
_LEAST = 1_000_000  # the shortest number that names anybody has seven digits
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_WHOLE_TYPES = {*_WHOLE, *(f"U{name}" for name in _WHOLE)}
_EMPTY_TYPES = {"BOOLEAN", "UUID", "INTERVAL", "TIME", "BIT"}


def scan(
    data: DuckDBData, columns: Sequence[str] | None = None, kinds: Sequence[PersonalKind] = KINDS
) -> list[Finding]:
    """Return the personal data in ``columns`` (all unless said), every row looked at.

    Nested values are looked at as their text. Values stay here: findings hold counts and masks.

    :raises DataReadError: the data cannot be read to their end.
    """
    found: list[Finding] = []
    for column in data.columns:
        if columns is None or column.name in columns:
            found += _scanned(data, column, kinds)
    return found


def _scanned(data: DuckDBData, column: Column, kinds: Sequence[PersonalKind]) -> list[Finding]:
    kind = column.type.upper()
    if kind in _EMPTY_TYPES:
        return []
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return _days(data, column, kinds)
    numbers = kind in _WHOLE_TYPES or kind in {"DOUBLE", "FLOAT"} or kind.startswith("DECIMAL")
    tally = Tally(column.name, kinds=kinds, numbers=numbers)
    if not tally.wanted:
        return []
    named = any(kind.named_in(column.name) for kind in kinds)
    statement = _numbers(column) if numbers else _texts(column, named)
    for value, rows in data.stream(statement, size=_BLOCK):
        tally.add(str(value), int(rows))
    return tally.findings()


def _texts(column: Column, named: bool) -> str:
    """Return the statement for different values that may hold something, with their rows.

    A column that is named for a kind is read whole: there forms count that candidates leave out.
    """
    value = column.sql if column.type == "VARCHAR" else f"CAST({column.sql} AS VARCHAR)"
    some = (
        f"regexp_matches({value}, {text(CANDIDATE)}) "
        f"AND NOT regexp_matches({value}, {text(NO_CANDIDATE)})"
    )
    where = f"{value} IS NOT NULL" if named else some
    return f"SELECT {value}, count(*) FROM {RELATION} WHERE {where} GROUP BY 1"  # noqa: S608


def _numbers(column: Column) -> str:
    """Return the statement for whole numbers of seven digits and more; floats as they are exact."""
    name, whole = column.sql, column.sql
    where = f"{name} >= {_LEAST}"
    if column.type.upper() not in _WHOLE_TYPES:
        where += f" AND {name} < 9007199254740992 AND {name} = floor({name})"
        whole = f"CAST({name} AS BIGINT)"
    return (
        f"SELECT CAST(n AS VARCHAR), rows FROM (SELECT CASE WHEN {where} THEN {whole} END AS n, "  # noqa: S608
        f"count(*) AS rows FROM {RELATION} GROUP BY 1) WHERE n IS NOT NULL"
    )


def _days(data: DuckDBData, column: Column, kinds: Sequence[PersonalKind]) -> list[Finding]:
    """A day is one of birth by the column's name alone."""
    wanted = [kind for kind in kinds if kind.dated(column.name)]
    count = int(data.row(f"SELECT count({column.sql}) FROM {RELATION}")[0]) if wanted else 0  # noqa: S608
    return [born(column.name, kind, count) for kind in wanted if count]
