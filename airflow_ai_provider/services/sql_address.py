"""From an Airflow connection's fields to a SQLAlchemy URL, where no provider is needed for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mssql": "mssql+pymssql",
    "oracle": "oracle+oracledb",
    "redshift": "redshift+redshift_connector",
    "trino": "trino",
}


def sql_address(
    *,
    kind: str,
    host: str | None,
    port: int | None,
    database: str | None,
    user: str | None,
    password: str | None,
    extra: Mapping[str, Any],
) -> str | None:
    """Return the URL, password included, that a connection of ``kind`` means; None if unknown.

    The extra field ``url`` is taken as it is, ``driver`` replaces the usual driver
    (``postgresql+psycopg2``). A SQLite connection's ``host`` is its file.
    """
    if extra.get("url"):
        return str(extra["url"])
    if kind == "sqlite":
        return f"sqlite:///{host or database or ''}"
    driver = extra.get("driver") if "+" in str(extra.get("driver", "")) else _DRIVERS.get(kind)
    if driver is None:
        return None
    from sqlalchemy.engine import URL

    query = {
        k: str(extra[k]) for k in ("sslmode", "sslrootcert", "sslcert", "sslkey") if k in extra
    }
    made = URL.create(
        driver,
        username=user or None,
        password=password or None,
        host=host or None,
        port=port,
        database=database or None,
        query=query,
    )
    return made.render_as_string(hide_password=False)
