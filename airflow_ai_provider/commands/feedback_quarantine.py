"""``airflow-ai feedback quarantine``: what was refused, and taking it in after repair."""

from __future__ import annotations

import argparse
from typing import Any

from airflow_ai_provider.commands.output import (
    DONE,
    REFUSED,
    add_viewer,
    at_least_one,
    emit,
    open_store,
    sight,
    table,
)

_SHOWN = 80


def register(commands: Any) -> None:
    """Add the commands."""
    from airflow_ai_provider.commands.feedback import add_reading

    quarantine = commands.add_parser("quarantine", help="records that were refused")
    actions = quarantine.add_subparsers(metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="what waits for repair, with place and reason")
    listed.add_argument("--limit", type=at_least_one, metavar="N", help="the oldest N only")
    add_viewer(listed)
    listed.set_defaults(run=run_list)
    retry = actions.add_parser("retry", help="read it again; what still does not fit stays")
    _add_ids(retry, "these only; all unless said", "*")
    retry.add_argument(
        "--repaired",
        metavar="FILE",
        help='JSON Lines {"id": 12, "record": {...}}: read these in their repaired form',
    )
    retry.add_argument("--delta", metavar="ADDRESS", help="the Delta table that takes the records")
    add_reading(retry)
    retry.set_defaults(run=run_retry)
    discard = actions.add_parser("discard", help="say that it is no feedback")
    _add_ids(discard, "the ids that list shows", "+")
    discard.set_defaults(run=run_discard)


def run_list(args: argparse.Namespace) -> int:
    """Print what waits."""
    from airflow_ai_provider.services.feedback import FeedbackService

    store = open_store(args)
    found = sight(args, store).cut(FeedbackService(store).records.quarantine(limit=args.limit))
    rows = [
        (row["id"], row["source"], row["place"], row["reason"], row["raw"][:_SHOWN])
        for row in found
    ]
    header = ("id", "source", "place", "reason", "record")
    emit(args, found, table(rows, header) if rows else ["Nothing waits in the quarantine."])
    return DONE


def run_retry(args: argparse.Namespace) -> int:
    """Take in what fits by now; the exit status is 1 when something still does not."""
    from airflow_ai_provider.commands.feedback import COUNTS, read_pairs
    from airflow_ai_provider.services.feedback import FeedbackService
    from airflow_ai_provider.services.feedback_quarantine import retry

    found = retry(
        FeedbackService(open_store(args), delta=args.delta),
        ids=args.ids or None,
        repaired=args.repaired,
        mapping=read_pairs(args.mapping),
        model_name=args.model,
    )
    document = {name: getattr(found, name) for name in COUNTS}
    line = ", ".join(f"{document[name]} {name}" for name in COUNTS[:-1])
    emit(args, document, [f"Batch {found.batch}: {line}."])
    return REFUSED if found.quarantined else DONE


def run_discard(args: argparse.Namespace) -> int:
    """Let it wait no longer."""
    from airflow_ai_provider.services.feedback import FeedbackService
    from airflow_ai_provider.services.feedback_quarantine import discard

    count = discard(FeedbackService(open_store(args)), args.ids)
    emit(args, {"discarded": count}, [f"{count} discarded."])
    return DONE if count == len(set(args.ids)) else REFUSED


def _add_ids(parser: argparse.ArgumentParser, what: str, count: str) -> None:
    parser.add_argument("ids", metavar="ID", type=int, nargs=count, help=what)
