"""``airflow-ai ledger``: look into the chain of gate records."""

from __future__ import annotations

import argparse
from typing import Any

from airflow_ai_provider.commands.output import DONE, REFUSED, emit, open_store
from airflow_ai_provider.store.ledger import Ledger


def register(subparsers: Any) -> None:
    """Add the command."""
    ledger = subparsers.add_parser("ledger", help="the chain of gate records")
    commands = ledger.add_subparsers(metavar="ACTION", required=True)
    verify = commands.add_parser("verify", help="find any changed, missing or reordered record")
    verify.set_defaults(run=run_verify)


def run_verify(args: argparse.Namespace) -> int:
    """Verify the whole chain; refused when it breaks."""
    records, broken = Ledger(open_store(args)).verify()
    document = {
        "records": records,
        "ok": broken is None,
        "first_bad": None
        if broken is None
        else {"record": broken.record, "sequence": broken.sequence, "reason": broken.reason},
    }
    if broken is None:
        emit(args, document, [f"{records} records, the chain is whole."])
        return DONE
    emit(
        args,
        document,
        [
            f"{records} records; the chain breaks at #{broken.sequence} ({broken.record}): "
            f"{broken.reason}."
        ],
    )
    return REFUSED
