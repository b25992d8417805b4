"""``airflow-ai quality profile``: make the reference that drift is measured against."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.commands.output import DONE, emit, table
from airflow_ai_provider.commands.quality_data import add_data, data_of

if TYPE_CHECKING:
    from airflow_ai_provider.core.quality.profile import ReferenceProfile


def add_profile(commands: Any) -> None:
    """Add the command to those of ``quality``."""
    profile = commands.add_parser(
        "profile", help="make a reference profile, for drift gates without the reference's data"
    )
    add_data(profile)
    profile.add_argument("--output", metavar="FILE", required=True, help="where the JSON goes")
    profile.add_argument(
        "--column", action="append", metavar="NAME", help="only this one (again for more)"
    )
    profile.add_argument(
        "--category",
        action="append",
        default=[],
        metavar="NAME",
        help="a column of numbers that are names, such as codes (again for more)",
    )
    profile.set_defaults(run=run_profile)


def run_profile(args: argparse.Namespace) -> int:
    """Make it and say what is in it."""
    from airflow_ai_provider.services.drift import make_profile, write_profile

    profile = make_profile(data_of(args), columns=args.column, categories=args.category)
    path = write_profile(profile, args.output)
    columns = [
        {"name": c.name, "type": c.type, "kind": c.kind.value, "missing": c.missing}
        for c in profile.columns
    ]
    document = {
        "path": str(path),
        "rows": profile.rows,
        "source": dict(profile.source),
        "columns": columns,
        "size": path.stat().st_size,
    }
    emit(args, document, _lines(profile, document))
    return DONE


def _lines(profile: ReferenceProfile, document: dict[str, Any]) -> Iterator[str]:
    yield f"{document['path']}: {profile.rows} rows, {document['size']} bytes"
    yield "It names categories and some values: keep it as the data is kept."
    yield ""
    rows = [(c.name, c.type, c.kind.value, c.missing) for c in profile.columns]
    yield from table(rows, ("column", "type", "kind", "missing"))
