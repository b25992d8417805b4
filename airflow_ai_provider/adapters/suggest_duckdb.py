"""Files and frames as a suggestion looks at them: figures of every row, and a sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.quality.check import RELATION
from airflow_ai_provider.core.quality.sql import Column, Family
from airflow_ai_provider.core.quality.suggest.propose import MOST_VALUES
from airflow_ai_provider.core.quality.suggest.seen import (
    SHOWN_TEXT,
    ColumnSeen,
    Kind,
    TableSeen,
)
from airflow_ai_provider.core.quality.types import READ_INTO

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.duckdb import DuckDBData

_AT_ONCE = 100  # columns of one statement
MOST_SAMPLED = 2_000_000  # values of a sample, all columns together
_KINDS = {
    Family.INTEGER: Kind.INTEGER,
    Family.FLOAT: Kind.NUMBER,
    Family.DECIMAL: Kind.NUMBER,
    Family.TEXT: Kind.TEXT,
    Family.BOOLEAN: Kind.BOOLEAN,
    Family.DATE: Kind.DATE,
    Family.TIMESTAMP: Kind.TIME,
}
_SAMPLED = {Kind.INTEGER, Kind.NUMBER, Kind.TEXT, Kind.BOOLEAN}
_START = datetime(1970, 1, 1, tzinfo=timezone.utc)


def see_data(data: DuckDBData, sample: int) -> TableSeen:
    """Return what open data holds; ``sample`` is the number of rows to take values from.

    :raises DataReadError: the files cannot be read to their end.
    """
    columns = [_figures(data, part) for part in _parts(data.columns)]
    seen = [column for part in columns for column in part]
    samples = _sample(data, seen, sample)
    found = [_with_values(data, c, samples.get(c.name, ())) for c in seen]
    rows = seen[0].rows if seen else 0
    return TableSeen(rows=rows, columns=found)


def _parts(columns: Sequence[Column]) -> Iterator[list[Column]]:
    remaining = iter(columns)
    while part := list(islice(remaining, _AT_ONCE)):
        yield part


def _figures(data: DuckDBData, columns: Sequence[Column]) -> list[ColumnSeen]:
    reads = ["count(*)"]
    for column in columns:
        reads += [f"count({column.sql})", *_reads(column)]
    values = iter(data.row(f"SELECT {', '.join(reads)} FROM {RELATION}"))  # noqa: S608
    rows = int(next(values))
    found = []
    for column in columns:
        present, first, second, third = (next(values) for _ in range(4))
        found.append(_seen(column, rows, int(present), (first, second, third)))
    return found


def _reads(column: Column) -> tuple[str, str, str]:
    kind, name = _kind(column), column.sql
    if kind.numeric:
        return f"min({name})", f"max({name})", f"avg({name})"
    if kind in {Kind.DATE, Kind.TIME}:
        return f"epoch_us(min({name}))", f"epoch_us(max({name}))", "NULL"
    if kind is Kind.TEXT:
        return f"min(length({name}))", f"max(length({name}))", "NULL"
    return "NULL", "NULL", "NULL"


def _kind(column: Column) -> Kind:
    return Kind.OTHER if column.own else _KINDS.get(column.family, Kind.OTHER)


def _seen(column: Column, rows: int, present: int, figures: tuple[Any, Any, Any]) -> ColumnSeen:
    kind, (first, second, third) = _kind(column), figures
    base = ColumnSeen(name=column.name, kind=kind, rows=rows, present=present, types=_types(column))
    if kind is Kind.TEXT:
        return replace(base, shortest=first, longest=second)
    if kind in {Kind.DATE, Kind.TIME}:
        return replace(base, least=_moment(column, first), most=_moment(column, second))
    return replace(base, least=first, most=second, mean=third)


def _types(column: Column) -> tuple[str, ...]:
    """Return pandas' names of the type; an integer with missing values is a float to it."""
    if column.own:
        return ()
    if column.type == "VARCHAR":
        return ("str",)
    name = READ_INTO.get(column.type)
    if name is None:
        return ()
    return (name, "float64") if "int" in name else (name,)


def _moment(column: Column, microseconds: int | None) -> date | None:
    if microseconds is None:
        return None
    try:
        moment = _START + timedelta(microseconds=microseconds)
    except OverflowError:  # before the year 1, or after 9999
        return None
    if column.family is Family.DATE:
        return moment.date()
    return moment if "ZONE" in column.type.upper() else moment.replace(tzinfo=None)


def _sample(
    data: DuckDBData, columns: Sequence[ColumnSeen], rows: int
) -> Mapping[str, Sequence[Any]]:
    """Return present values of the same rows each time, of columns that have plain ones."""
    wanted = [c for c in columns if c.kind in _SAMPLED and c.present]
    if not wanted:
        return {}
    rows = max(1, min(rows, MOST_SAMPLED // len(wanted)))
    known = {c.name: c for c in data.columns}
    listed = ", ".join(_sampled(known[c.name], c.kind) for c in wanted)
    statement = (
        f"SELECT {listed} FROM {RELATION} USING SAMPLE reservoir({rows} ROWS) REPEATABLE (1)"  # noqa: S608
    )
    taken = list(zip(*data.rows(statement), strict=True))
    return {
        c.name: [v for v in values if v is not None]
        for c, values in zip(wanted, taken, strict=True)
    }


def _sampled(column: Column, kind: Kind) -> str:
    return f"left({column.sql}, {SHOWN_TEXT})" if kind is Kind.TEXT else column.sql


def _with_values(data: DuckDBData, column: ColumnSeen, sample: Sequence[Any]) -> ColumnSeen:
    sampled = replace(column, sample=sample)
    if column.kind is Kind.NUMBER or not 0 < len(sampled.counts) <= MOST_VALUES:
        return sampled
    known = next(c for c in data.columns if c.name == column.name)
    statement = (
        f"SELECT {known.sql}, count(*) FROM {RELATION} WHERE {known.sql} IS NOT NULL "  # noqa: S608
        f"GROUP BY 1 LIMIT {MOST_VALUES + 1}"
    )
    domain = {value: int(count) for value, count in data.rows(statement)}
    return replace(sampled, domain=domain if len(domain) <= MOST_VALUES else None)
