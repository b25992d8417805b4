"""``airflow-ai promotion``: what was in which environment when."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_ai_provider.commands.output import DONE, add_viewer, emit, open_store, sight, table


def register(subparsers: Any) -> None:
    """Add the command."""
    promotion = subparsers.add_parser("promotion", help="models and their environments")
    commands = promotion.add_subparsers(metavar="ACTION", required=True)
    history = commands.add_parser("history", help="which version was where, from when to when")
    history.add_argument("model", metavar="MODEL", help="the registered model")
    history.add_argument(
        "--at",
        metavar="TIME",
        type=_moment,
        help="only what held at this time (ISO 8601; UTC unless it names a zone)",
    )
    history.add_argument(
        "--export",
        metavar="FILE",
        type=Path,
        help="also write it to FILE, which ends in .jsonl or .csv",
    )
    add_viewer(history)
    history.set_defaults(run=run_history)


def run_history(args: argparse.Namespace) -> int:
    """Print the intervals of a model's versions in their environments."""
    from airflow_ai_provider.services.promotion.export import export_history
    from airflow_ai_provider.services.promotion.timeline import history
    from airflow_ai_provider.store.ledger import Ledger

    store = open_store(args)
    is_seen = sight(args, store).shows_model(args.model)
    intervals = history(args.model, ledger=Ledger(store), at=args.at) if is_seen else []
    if args.export is not None:
        export_history(intervals, args.export)
    columns = ("environment", "version", "from", "to", "by", "why")
    lines = table([tuple(i[c] for c in columns) for i in intervals], columns)
    emit(args, intervals, lines if intervals else [f"{args.model} was in no environment."])
    return DONE


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in ISO 8601") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
