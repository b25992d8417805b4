"""``airflow-ai feedback``: take in feedback and look at what is there."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.commands import feedback_keep, feedback_live, feedback_quarantine
from airflow_ai_provider.commands.output import DONE, emit, open_store
from airflow_ai_provider.core.errors import FeedbackError

if TYPE_CHECKING:
    from airflow_ai_provider.core.feedback.source import FeedbackSource
    from airflow_ai_provider.services.feedback import FeedbackService

COUNTS = ("read", "stored", "revised", "duplicates", "quarantined", "batch")
LINES, LABEL_STUDIO = "records", "label-studio"


def register(subparsers: Any) -> None:
    """Add the command."""
    feedback = subparsers.add_parser("feedback", help="feedback on predictions")
    commands = feedback.add_subparsers(metavar="ACTION", required=True)
    ingest = commands.add_parser("ingest", help="take in JSON Lines, CSV and Parquet files")
    ingest.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        help="a file, which is always read, or a folder or glob, of which only new files are",
    )
    ingest.add_argument(
        "--format",
        choices=(LINES, LABEL_STUDIO),
        default=LINES,
        help="records in JSON Lines, CSV or Parquet, or an export of Label Studio",
    )
    ingest.add_argument(
        "--clock-may-go-back",
        action="store_true",
        help="take the batch although the clock is behind that of the last one",
    )
    ingest.add_argument(
        "--delta", metavar="ADDRESS", help="a Delta table that takes the records, for volume"
    )
    add_reading(ingest)
    ingest.set_defaults(run=run_ingest)
    feedback_live.register(commands)
    feedback_quarantine.register(commands)
    feedback_keep.register(commands)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add what says how a record is read."""
    parser.add_argument(
        "--map",
        metavar="OURS=THEIRS",
        action="append",
        default=[],
        dest="mapping",
        help="the source's name of a field, such as feedback_id=review_id",
    )
    parser.add_argument("--model", metavar="NAME", help="the model of records that name none")


def run_ingest(args: argparse.Namespace) -> int:
    """Take in the files as one batch."""
    from airflow_ai_provider.services.feedback import FeedbackService

    mapping = read_pairs(args.mapping)
    service = FeedbackService(open_store(args, create=True), delta=args.delta)
    with ExitStack() as stack:
        found = service.ingest_from(
            _sources(args, service, mapping, stack),
            mapping=mapping,
            model_name=args.model,
            clock_may_go_back=args.clock_may_go_back,
        )
    document = {name: getattr(found, name) for name in COUNTS}
    line = ", ".join(f"{document[name]} {name}" for name in COUNTS[:-1])
    emit(args, document, [f"Batch {found.batch}: {line}.", *_next(document)])
    return DONE


def _next(counts: Mapping[str, int]) -> Iterator[str]:
    """Yield what whoever took something in wants to know besides the counts."""
    if counts["quarantined"]:
        yield "`airflow-ai feedback quarantine list` says why records were refused."
    if not counts["read"]:
        yield "Nothing new was there: of a folder or a glob a file is taken in once."


def read_pairs(texts: list[str]) -> dict[str, str]:
    """Return ``ours=theirs`` as a mapping.

    :raises FeedbackError: one is no pair.
    """
    return dict(_pair(text) for text in texts)


def _sources(
    args: argparse.Namespace, service: FeedbackService, mapping: Mapping[str, str], stack: ExitStack
) -> list[FeedbackSource]:
    from airflow_ai_provider.core.feedback.parse import read_mapping
    from airflow_ai_provider.services.feedback_files import local_sources

    if args.format == LABEL_STUDIO:
        from airflow_ai_provider.adapters.label_studio import LabelStudioExport

        return [LabelStudioExport(Path(path).expanduser().resolve()) for path in args.paths]
    if not any("://" in path and not path.startswith("file://") for path in args.paths):
        return local_sources(service.store, args.paths, mapping=read_mapping(mapping))
    from airflow_ai_provider.hooks._feedback_files import sources_of  # asks Airflow

    folder = Path(stack.enter_context(TemporaryDirectory(prefix="feedback")))
    return sources_of(service.store, args.paths, mapping=read_mapping(mapping), folder=folder)


def _pair(text: str) -> tuple[str, str]:
    ours, separator, theirs = text.partition("=")
    if not separator or not ours or not theirs:
        raise FeedbackError(
            f"--map {text!r} is no pair.", remedy="Write --map feedback_id=review_id."
        )
    return ours.strip(), theirs.strip()
