"""The ledger as a page shows it: found records, one record, the chain, and its export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from airflow_ai_provider.core.errors import LedgerError
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger

PER_PAGE = 50
_AT_ONCE = 1000


def ledger_view(
    store: Store, *, kind: str = "", subject: str = "", verdict: str = "", page: int = 1
) -> dict[str, Any]:
    """Return one page of records, newest first, whose subject begins with ``subject``.

    :raises ValueError: there is no such kind.
    """
    found = Ledger(store).search(
        kind=GateKind(kind) if kind else None,
        subject_prefix=subject or None,
        verdict=verdict or None,
        newest_first=True,
        limit=PER_PAGE + 1,
        offset=(page - 1) * PER_PAGE,
    )
    return {
        "records": [asdict(record) for record in found[:PER_PAGE]],
        "kinds": [each.value for each in GateKind],
        "asked": {"kind": kind, "subject": subject, "verdict": verdict},
        "page": {"number": page, "more": len(found) > PER_PAGE},
    }


def record_view(store: Store, record_id: str) -> dict[str, Any] | None:
    """Return one record, its evidence as text; None when there is none."""
    try:
        record = Ledger(store).get(record_id)
    except LedgerError:
        return None
    shown = json.dumps(record.evidence, indent=2, ensure_ascii=False, sort_keys=True)
    return {**asdict(record), "evidence_text": shown}


def chain(store: Store) -> dict[str, Any]:
    """Read the whole chain and say whether it is whole."""
    records, broken = Ledger(store).verify()
    message = (
        f"All {records:,} records are there, unchanged and in order."
        if broken is None
        else f"The chain breaks at record {broken.sequence}: {broken.reason}"
    )
    return {"ok": broken is None, "records": records, "message": message}


def exported(store: Store) -> Iterator[str]:
    """Yield every record as a line of JSON, oldest first."""
    ledger = Ledger(store)
    offset = 0
    while records := ledger.search(limit=_AT_ONCE, offset=offset):
        for record in records:
            yield json.dumps(asdict(record), ensure_ascii=False, sort_keys=True) + "\n"
        offset += len(records)
