"""``airflow-ai feedback``: take in feedback and look at what is there."""

from __future__ import annotations

import argparse
from typing import Any

from airflow_ai_provider.commands import feedback_live
from airflow_ai_provider.commands.output import DONE, emit, open_store
from airflow_ai_provider.core.errors import FeedbackError

_COUNTS = ("read", "stored", "revised", "duplicates", "quarantined", "batch")


def register(subparsers: Any) -> None:
    """Add the command."""
    feedback = subparsers.add_parser("feedback", help="feedback on predictions")
    commands = feedback.add_subparsers(metavar="ACTION", required=True)
    ingest = commands.add_parser("ingest", help="take in JSON Lines and Parquet files")
    ingest.add_argument("paths", metavar="PATH", nargs="+", help="a file; it is always read")
    ingest.add_argument(
        "--map",
        metavar="OURS=THEIRS",
        action="append",
        default=[],
        dest="mapping",
        help="the source's name of a field, such as feedback_id=review_id",
    )
    ingest.add_argument("--model", metavar="NAME", help="the model of records that name none")
    ingest.set_defaults(run=run_ingest)
    feedback_live.register(commands)


def run_ingest(args: argparse.Namespace) -> int:
    """Take in the files as one batch."""
    from airflow_ai_provider.services.feedback import FeedbackService

    mapping = dict(_pair(text) for text in args.mapping)
    service = FeedbackService(open_store(args, create=True))
    found = service.ingest(args.paths, mapping=mapping, model_name=args.model)
    document = {name: getattr(found, name) for name in _COUNTS}
    line = ", ".join(f"{document[name]} {name}" for name in _COUNTS[:-1])
    emit(args, document, [f"Batch {found.batch}: {line}."])
    return DONE


def _pair(text: str) -> tuple[str, str]:
    ours, separator, theirs = text.partition("=")
    if not separator or not ours or not theirs:
        raise FeedbackError(
            f"--map {text!r} is no pair.", remedy="Write --map feedback_id=review_id."
        )
    return ours.strip(), theirs.strip()
