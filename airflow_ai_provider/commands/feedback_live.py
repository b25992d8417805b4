"""``airflow-ai feedback status`` and ``metrics``: what there is, and how live models do."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from airflow_ai_provider.commands.output import DONE, add_viewer, emit, open_store, sight, table
from airflow_ai_provider.core.errors import FeedbackError


def register(commands: Any) -> None:
    """Add the actions to ``airflow-ai feedback``."""
    status = commands.add_parser("status", help="counts over all time, and what they say")
    status.add_argument("--delta", metavar="ADDRESS", help="a further Delta table to read")
    add_viewer(status)
    status.set_defaults(run=run_status)
    metrics = commands.add_parser("metrics", help="the series of a model's live metrics")
    metrics.add_argument("model", metavar="MODEL", help="the registered model")
    metrics.add_argument("--report", metavar="FILE", help="write a page with pictures (HTML)")
    add_viewer(metrics)
    metrics.set_defaults(run=run_metrics)


def run_status(args: argparse.Namespace) -> int:
    """Print what is there."""
    from airflow_ai_provider.core.gate import plain
    from airflow_ai_provider.services.feedback_records import need_table
    from airflow_ai_provider.services.feedback_status import feedback_status

    store = open_store(args)
    need_table(args.delta)
    found = feedback_status(store, delta=args.delta, sight=sight(args, store))
    document = plain(found)
    lines = [
        f"{document['stored']} stored, {document['revised']} revised, "
        f"{document['quarantined']} in quarantine, from {document['batches']} batches.",
        *(
            table(sorted(document["models"].items()), ("model", "records"))
            if document["models"]
            else []
        ),
        *(_queue(name, found) for name, found in document["exceptions"].items()),
        *(f"{name}: {found['summary']}" for name, found in document["decisions"].items()),
    ]
    emit(args, document, lines)
    return DONE


def run_metrics(args: argparse.Namespace) -> int:
    """Print the series, and write the page if one is asked for."""
    from airflow_ai_provider.core.gate import plain
    from airflow_ai_provider.services.feedback_page import model_page
    from airflow_ai_provider.store.feedback_series import MetricSeries

    store = open_store(args)
    is_seen = sight(args, store).shows_model(args.model)
    points = MetricSeries(store).read(args.model, slice_=None) if is_seen else []
    document = [plain(point) for point in points]
    if args.report and is_seen:
        try:
            Path(args.report).write_text(model_page(store, args.model), "utf-8")
        except OSError as error:
            raise FeedbackError(
                f"The page cannot be written to {args.report}: {error.strerror}.",
                remedy="Name a file in a folder that is there.",
            ) from error
    rows = [
        (p["partition"], p["model_version"], p["metric"], f"{p['value']:.4g}", p["n"])
        for p in document
        if p["slice"] == "" and p["value"] is not None
    ]
    head = ("partition", "version", "metric", "value", "n")
    emit(args, document, table(rows, head) if rows else ["Nothing was measured."])
    return DONE


def _queue(name: str, found: dict[str, Any]) -> str:
    oldest = found["oldest_s"]
    waits = f", the oldest for {oldest / 3600:.1f} h" if oldest is not None else ""
    return f"{name}: {found['open']} predictions wait for people{waits}."
