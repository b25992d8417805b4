"""What the commands of ``airflow-ai quality`` look at: files, or a table behind a database URL."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import DataReadError

if TYPE_CHECKING:
    from airflow_ai_provider.adapters.sql_tables import SqlSource

_CONNECTION = re.compile(r"[A-Za-z_][\w-]*")
_ADDRESS = re.compile(r"[a-z][a-z0-9]*(\+[a-z0-9_]+)?://")
_FROM_ENVIRONMENT = "env:"
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add DATA, and what says which table of a database."""
    parser.add_argument(
        "data",
        metavar="DATA",
        help="a file, a glob or a folder; with --table or --query a database URL, or env:NAME, "
        "the environment variable that holds it, or the id of an Airflow connection",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--table", metavar="[SCHEMA.]NAME", help="a table of the database DATA")
    which.add_argument("--query", "--sql", metavar="SQL", help="a query to the database DATA")
    parser.add_argument("--schema", metavar="NAME", help="the table's schema")


def data_of(args: argparse.Namespace) -> Any:
    """Return what ``services.quality.check`` takes for what the command line names.

    :raises DataReadError: it names a database without a table, or a variable that is not set.
    """
    if args.table or args.query:
        return _in_database(args)
    if args.schema:
        raise DataReadError("--schema names no table.", remedy="Add --table NAME.")
    if args.data.startswith(_FROM_ENVIRONMENT) or _is_database(args.data):
        raise DataReadError(
            "A database is named, and no table of it.", remedy="Add --table NAME or --query SQL."
        )
    return args.data


def _in_database(args: argparse.Namespace) -> SqlSource:
    schema, table = args.schema, args.table
    if table and not schema and "." in table:
        schema, _, table = table.rpartition(".")
    where = {"table": table, "schema": schema, "query": args.query}
    if _CONNECTION.fullmatch(args.data):
        from airflow_ai_provider.hooks.quality import DataQualityHook  # asks Airflow

        return DataQualityHook().source(args.data, **where)
    from airflow_ai_provider.adapters.sql_tables import SqlSource

    return SqlSource(url=_url(args.data), **where)


def written(args: argparse.Namespace, suite: str) -> str:
    """Return the arguments that make ``quality check`` look at the same data, no password."""
    parts = [re.sub(r"://[^@/]*@", "://...@", args.data), suite]
    for name in ("table", "query", "schema"):
        value = getattr(args, name)
        parts += [f"--{name}", shlex.quote(value)] if value else []
    return " ".join(parts)


def _is_database(data: str) -> bool:
    return bool(_ADDRESS.match(data)) and not data.startswith("file://")


def _url(data: str) -> str:
    if data.startswith(_FROM_ENVIRONMENT):
        name = data.removeprefix(_FROM_ENVIRONMENT)
        found = os.environ.get(name)
        if not found:
            raise DataReadError(
                f"The environment variable {name} is not set.", remedy="Set it to a database URL."
            )
        data = found
    elif not _is_database(data):
        raise DataReadError(
            f"{data} is no database URL.",
            remedy="Write one, such as postgresql://user@host/name, or leave --table out.",
        )
    scheme, _, rest = data.partition("://")
    return f"{_DRIVERS.get(scheme, scheme)}://{rest}"
