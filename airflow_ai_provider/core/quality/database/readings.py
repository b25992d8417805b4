"""How a column's values are read for a comparison, in the database's own words.

A number is read as it is stored (whole) or as a double; a time as seconds since 1970, in UTC, to
the microsecond; what is no value to a comparison (NaN, an infinite time) is read as missing. So a
table gives the figures that the same rows give as a file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.quality.database.check import TableColumn
from airflow_ai_provider.core.quality.database.dialect import Dialect
from airflow_ai_provider.core.quality.drift.columns import NotOfKindError
from airflow_ai_provider.core.quality.drift.measures import Kind

Expression = sa.ColumnElement[Any]

_WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT"}
_CLOCKED = ("TIME", "INTERVAL")
_TEXT = "VARCHAR"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A column as a comparison reads it.

    ``wrong`` is a predicate that is true of each row whose value is not of the kind, where a
    database lets such rows into a column (SQLite does). ``endless``: it may hold infinities.
    """

    value: Expression
    wrong: Expression | None = None
    endless: bool = True


def reading(column: TableColumn, type_: str, kind: Kind, dialect: Dialect) -> Reading:
    """Return how ``column`` of DuckDB's type ``type_`` is read as ``kind``.

    :raises NotOfKindError: this database's times are not known to us.
    """
    plain = column.sql
    if kind is Kind.CATEGORY:
        return Reading(value=_category(plain, type_, dialect))
    if dialect.name == "sqlite":
        return _sqlite_time(plain) if kind is Kind.TIME else _sqlite_number(plain)
    if kind is Kind.TIME or type_.startswith(_CLOCKED):
        return _time(plain, type_, dialect)
    if type_ in _WHOLE:
        return Reading(value=plain, endless=False)
    if dialect.name == "postgresql":
        double: Any = sa.cast(plain, sa.Double())
        nan: Any = sa.literal_column("'NaN'::double precision")
        return Reading(value=sa.func.nullif(double, nan, type_=sa.Double()))
    return Reading(value=plain)


def _category(plain: Any, type_: str, dialect: Dialect) -> Expression:
    """Texts are told apart byte by byte, whatever collation the column has."""
    binary = {"postgresql": "C", "sqlite": "BINARY"}.get(dialect.name)
    if type_ != _TEXT or binary is None:
        return plain  # type: ignore[no-any-return]
    return sa.type_coerce(plain, sa.String()).collate(binary)


def _time(plain: Any, type_: str, dialect: Dialect) -> Reading:
    if dialect.name != "postgresql":
        raise NotOfKindError(f"it is {type_}, and times on {dialect.name} are not measured")
    micros: Any = sa.cast(
        sa.cast(sa.extract("epoch", plain) * 1_000_000, sa.BigInteger()), sa.Double()
    )
    seconds: Any = micros / sa.literal_column("1e6::double precision")
    if type_.startswith("TIME") and not type_.startswith("TIMESTAMP"):
        return Reading(value=seconds, endless=False)
    return Reading(value=sa.case((sa.func.isfinite(plain), seconds)), endless=False)


def _sqlite_number(plain: Any) -> Reading:
    return Reading(value=plain, wrong=sa.func.typeof(plain).in_(["text", "blob"]))


def _sqlite_time(plain: Any) -> Reading:
    """SQLite's times are text in ISO 8601: whole seconds by its own function, then the fraction."""
    text: Any = sa.type_coerce(plain, sa.String())
    length, six = sa.func.length(text), sa.func.substr(text, -6)
    zoned = sa.and_(length > 19, sa.func.substr(six, 1, 1).in_(["+", "-"]))
    zone = sa.case((text.like("%Z"), "Z"), (zoned, six), else_="")
    head = sa.func.substr(text, 1, sa.case((length > 19, 19), else_=length))
    seconds = sa.cast(sa.func.strftime("%s", head.op("||")(zone)), sa.BigInteger())
    fraction: Any = sa.cast(sa.literal("0.").op("||")(sa.func.substr(text, 21, 6)), sa.REAL())
    dotted = sa.func.substr(text, 20, 1) == "."
    micros = sa.case((dotted, sa.cast(sa.func.round(fraction * 1e6), sa.BigInteger())), else_=0)
    value = (seconds * 1_000_000 + micros) / sa.literal_column("1000000.0")
    wrong = sa.and_(plain.is_not(None), sa.or_(sa.func.typeof(plain) != "text", seconds.is_(None)))
    return Reading(value=value, wrong=wrong, endless=False)


def category_text(value: Any, type_: str) -> str:
    """Return the name of a category, as DuckDB writes the value."""
    if isinstance(value, bool) or (type_ == "BOOLEAN" and isinstance(value, int)):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        written = value.isoformat(" ")
        return written.rstrip("0") if "." in written and value.tzinfo is None else written
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
