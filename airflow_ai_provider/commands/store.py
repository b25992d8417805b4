"""``airflow-ai store``: the store's tables."""

from __future__ import annotations

import argparse
from typing import Any

from airflow_ai_provider.commands.output import DONE, emit, migrate_store
from airflow_ai_provider.store.migrate import HEAD


def register(subparsers: Any) -> None:
    """Add the command."""
    store = subparsers.add_parser("store", help="the store's tables")
    commands = store.add_subparsers(metavar="ACTION", required=True)
    migrate = commands.add_parser("migrate", help="bring the tables to this version")
    migrate.set_defaults(run=run_migrate)


def run_migrate(args: argparse.Namespace) -> int:
    """Make the tables, or bring them to this version."""
    store = migrate_store(args)
    document = {"store": store.safe_url, "version": HEAD}
    emit(args, document, [f"{store.safe_url} has tables of version {HEAD}."])
    return DONE
