"""``airflow-ai gpu sync-pools``: make Airflow's pools mirror the devices."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from airflow_ai_provider.adapters.airflow_api import AirflowLogin, AirflowPools
from airflow_ai_provider.commands.output import DONE, emit, open_store, table
from airflow_ai_provider.core.gpu.mirror import MirrorChange
from airflow_ai_provider.services.gpu_pools import CONNECTION, login_of_text, sync_pools


def register(commands: Any) -> None:
    """Add the action to those of ``gpu``."""
    sync = commands.add_parser(
        "sync-pools", help="set Airflow's pools gpu_<pool> to the number of healthy devices"
    )
    sync.add_argument(
        "--api-conn-id",
        metavar="ID",
        default=CONNECTION,
        help=f"the connection to Airflow's REST API, of type http (default {CONNECTION})",
    )
    sync.set_defaults(run=run_sync)


def run_sync(args: argparse.Namespace) -> int:
    """Set the slots and say what was changed."""
    changes = sync_pools(open_store(args), AirflowPools(_login(args.api_conn_id)))
    emit(args, [asdict(change) for change in changes], _lines(changes))
    return DONE


def _login(conn_id: str) -> AirflowLogin:
    if said := os.environ.get(f"AIRFLOW_CONN_{conn_id.upper()}"):
        return login_of_text(said)
    from airflow_ai_provider.hooks.gpu import api_login  # asks Airflow; costs its import

    return api_login(conn_id)


def _lines(changes: list[MirrorChange]) -> Iterator[str]:
    if not changes:
        yield "Every mirror is as it should be."
        return
    rows = [(c.pool, "-" if c.before is None else c.before, c.after, c.reason) for c in changes]
    yield from table(rows, ("POOL", "BEFORE", "AFTER", "WHY"))
