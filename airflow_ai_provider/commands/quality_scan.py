"""``airflow-ai quality scan``: say where personal data is, and never what it is."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.commands.output import DONE, REFUSED, at_least_one, emit, table
from airflow_ai_provider.commands.quality_data import add_data, data_of

if TYPE_CHECKING:
    from airflow_ai_provider.services.personal_data import ScanResult


def add_scan(commands: Any) -> None:
    """Add the command to those of ``quality``."""
    scan = commands.add_parser(
        "scan", help="look for personal data; refused (1) when there is some"
    )
    add_data(scan)
    scan.add_argument(
        "--kind", action="append", metavar="NAME", help="only this kind (again for more)"
    )
    scan.add_argument(
        "--except-column",
        action="append",
        default=[],
        metavar="NAME",
        help="a column that may hold personal data (again for more)",
    )
    scan.add_argument(
        "--sample",
        type=at_least_one,
        default=10_000,
        metavar="ROWS",
        help="rows of a table that are looked at; files are read whole (default: 10000)",
    )
    scan.set_defaults(run=run_scan)


def run_scan(args: argparse.Namespace) -> int:
    """Look; refused when there is personal data."""
    from airflow_ai_provider.services.personal_data import scan

    found = scan(
        data_of(args),
        kinds=args.kind,
        except_columns=args.except_column,
        sample=args.sample,
    )
    emit(args, found.as_dict(), _lines(found))
    return REFUSED if found.found else DONE


def _lines(found: ScanResult) -> Iterator[str]:
    part = "" if found.looked_at == found.rows else f" of {found.rows} rows"
    yield f"{found.path}: {found.looked_at}{part or ' rows'} in {found.columns} columns looked at"
    if not found.found:
        yield "No personal data was found: none of the kinds that are known by their form."
        return
    yield ""
    rows = [(f.column, f.title, f.count, "  ".join(f.samples)) for f in found.found]
    yield from table(rows, ("column", "holds", "rows", "masked"))
    yield ""
    yield "Leave the columns out, or replace their values, before the data goes on; or name those"
    yield "that may stay: --except-column, or except_columns in a suite (airflow-ai:personal_data)."
