"""``airflow-ai gpu quota``: what teams, projects and phases are guaranteed, and may borrow."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from airflow_ai_provider.commands.gpu_turns import turns_of
from airflow_ai_provider.commands.output import DONE, add_viewer, emit, open_store, sight, table
from airflow_ai_provider.core.gpu.devices import DEFAULT_POOL
from airflow_ai_provider.core.gpu.fair_share import KINDS, Quota
from airflow_ai_provider.store.gpu_quotas import (
    find_quota,
    read_quotas,
    remove_quota,
    set_quota,
)

_COLUMNS = ("pool", "kind", "name", "weight", "guaranteed", "ceiling")


def register(commands: Any) -> None:
    """Add ``quota`` to the commands of ``airflow-ai gpu``."""
    quota = commands.add_parser("quota", help="quotas of teams, projects and phases")
    actions = quota.add_subparsers(metavar="QUOTA_ACTION", required=True)
    listed = actions.add_parser("list", help="every quota")
    add_viewer(listed)
    listed.set_defaults(run=run_list)
    setting = actions.add_parser("set", help="write one; what is not named stays as it is")
    _add_name(setting)
    setting.add_argument(
        "--weight", type=float, metavar="W", help="its part of what is borrowed; 1 unless said"
    )
    setting.add_argument(
        "--guaranteed", type=float, metavar="G", help="devices that are its own; 0 unless said"
    )
    setting.add_argument(
        "--ceiling",
        type=_ceiling,
        metavar="C",
        default=argparse.SUPPRESS,
        help='the most devices that it may hold, or "none"',
    )
    setting.set_defaults(run=run_set)
    removing = actions.add_parser("remove", help="take one away")
    _add_name(removing)
    removing.set_defaults(run=run_remove)


def run_list(args: argparse.Namespace) -> int:
    """Print every quota."""
    store = open_store(args)
    seen = sight(args, store)
    with store.read() as connection:
        quotas = read_quotas(connection)
    quotas = [q for q in quotas if q.kind != "project" or seen.shows_project(q.name)]
    rows = [_row(quota) for quota in quotas]
    lines = table(rows, _COLUMNS) if rows else ["There is no quota: teams share alike."]
    emit(args, [asdict(quota) for quota in quotas], lines)
    return DONE


def run_set(args: argparse.Namespace) -> int:
    """Write one quota."""
    turns = turns_of(args, create=True)
    kind, name = _named(args)
    standing = find_quota(turns.store, pool=args.pool, kind=kind, name=name)
    told = {
        "weight": args.weight,
        "guaranteed": args.guaranteed,
    }
    values = asdict(standing or Quota(kind=kind, name=name, pool=args.pool))
    values.update({key: value for key, value in told.items() if value is not None})
    if hasattr(args, "ceiling"):
        values["ceiling"] = args.ceiling
    quota = Quota(**values)
    set_quota(turns, quota)
    emit(args, asdict(quota), table([_row(quota)], _COLUMNS))
    return DONE


def run_remove(args: argparse.Namespace) -> int:
    """Take one quota away."""
    kind, name = _named(args)
    removed = remove_quota(turns_of(args), pool=args.pool, kind=kind, name=name)
    emit(args, asdict(removed), [f"The {kind} {name} has no quota in pool {args.pool} any more."])
    return DONE


def _add_name(parser: argparse.ArgumentParser) -> None:
    whose = parser.add_mutually_exclusive_group(required=True)
    for kind in KINDS:
        whose.add_argument(f"--{kind}", metavar="NAME", help=f"the {kind}")
    parser.add_argument("--pool", metavar="P", default=DEFAULT_POOL, help="default unless said")


def _named(args: argparse.Namespace) -> tuple[str, str]:
    return next((kind, getattr(args, kind)) for kind in KINDS if getattr(args, kind) is not None)


def _ceiling(text: str) -> float | None:
    if text.strip().lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is neither a number nor "none"') from None


def _row(quota: Quota) -> tuple[Any, ...]:
    ceiling = "none" if quota.ceiling is None else f"{quota.ceiling:g}"
    numbers = (f"{quota.weight:g}", f"{quota.guaranteed:g}", ceiling)
    return (quota.pool, quota.kind, quota.name, *numbers)
