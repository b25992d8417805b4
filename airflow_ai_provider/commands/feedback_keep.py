"""``airflow-ai feedback export | forget | tables | schema``: what is kept, and what no longer."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from airflow_ai_provider.commands.output import (
    DONE,
    REFUSED,
    add_viewer,
    emit,
    open_store,
    sight,
    table,
)


def register(commands: Any) -> None:
    """Add the commands."""
    export = commands.add_parser("export", help="write records that can be taken in again")
    export.add_argument("path", metavar="FILE", help="JSON Lines; what was there is replaced")
    export.add_argument("--model", metavar="NAME", help="of one model only")
    export.add_argument("--revisions", action="store_true", help="every revision, oldest first")
    add_viewer(export)
    export.set_defaults(run=run_export)
    forget = commands.add_parser("forget", help="remove records for good")
    forget.add_argument(
        "--person",
        action="append",
        default=[],
        metavar="NAME",
        help="who gave it: its source, or its attribute person",
    )
    forget.add_argument("--id", action="append", default=[], metavar="ID", help="a feedback id")
    forget.add_argument(
        "--attribute",
        action="append",
        default=[],
        metavar="NAME",
        help="a further attribute that names a person",
    )
    forget.add_argument("--delta", metavar="ADDRESS", help="a further Delta table to remove from")
    forget.set_defaults(run=run_forget)
    export.add_argument("--delta", metavar="ADDRESS", help="a further Delta table to read")
    tables = commands.add_parser("tables", help="the Delta tables that hold records, by model")
    tables.add_argument(
        "--drop", metavar="ADDRESS", help="read this one no longer; its files are not touched"
    )
    add_viewer(tables)
    tables.set_defaults(run=run_tables)
    schema = commands.add_parser("schema", help="the JSON Schema of a record")
    schema.set_defaults(run=run_schema)


def run_export(args: argparse.Namespace) -> int:
    """Write the file."""
    from airflow_ai_provider.services.feedback import FeedbackService
    from airflow_ai_provider.services.feedback_forget import export
    from airflow_ai_provider.services.feedback_records import need_table

    store = open_store(args)
    need_table(args.delta)
    service, seen = FeedbackService(store, delta=args.delta), sight(args, store)
    count = export(service, args.path, model_name=args.model, revisions=args.revisions, sight=seen)
    emit(args, {"path": args.path, "records": count}, [f"{count} records in {args.path}."])
    return DONE


def run_forget(args: argparse.Namespace) -> int:
    """Remove them, and name the files that may still hold some."""
    from airflow_ai_provider.services.feedback import FeedbackService
    from airflow_ai_provider.services.feedback_forget import forget
    from airflow_ai_provider.services.feedback_records import need_table

    store = open_store(args)
    need_table(args.delta)
    removed = forget(
        FeedbackService(store, delta=args.delta),
        persons=args.person,
        ids=args.id,
        attributes=args.attribute,
    )
    lines = [
        f"{removed.records} records ({removed.revisions} revisions) and {removed.quarantined} in "
        "quarantine removed for good.",
        *(f"May still be in {found['path']}, written {found['at']}." for found in removed.exports),
        "Not touched: the files and systems that it came from, and backups.",
    ]
    emit(args, asdict(removed), lines)
    return DONE


def run_tables(args: argparse.Namespace) -> int:
    """Print which tables are read, or let one go; the exit status is 1 when it was none."""
    from airflow_ai_provider.services.feedback_records import address_of
    from airflow_ai_provider.store.feedback_places import drop_place, places

    store = open_store(args)
    if args.drop is not None:
        count = drop_place(store, address_of(args.drop))
        line = f"{args.drop} is read no longer for {count} models."
        none = f"No model's records are in {args.drop}: `airflow-ai feedback tables` says where."
        emit(args, {"dropped": count}, [line if count else none])
        return DONE if count else REFUSED
    seen = sight(args, store)
    found = {
        address: shown
        for address, models in places(store).items()
        if (shown := [model for model in models if seen.shows_model(model)])
    }
    rows = [(address, ", ".join(models)) for address, models in found.items()]
    lines = table(rows, ("address", "models")) if rows else ["Every record is in the store."]
    emit(args, found, lines)
    return DONE


def run_schema(args: argparse.Namespace) -> int:
    """Print the schema, which is JSON either way."""
    import json

    from airflow_ai_provider.core.feedback.json_schema import record_schema

    document = record_schema()
    emit(args, document, [json.dumps(document, indent=2)])
    return DONE
