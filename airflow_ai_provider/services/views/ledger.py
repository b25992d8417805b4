"""The ledger as a page shows it: found records, one record, the chain, and its export."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from airflow_ai_provider.core.errors import LedgerError
from airflow_ai_provider.core.gate import GateKind, GateRecord
from airflow_ai_provider.core.lifecycle.visible import EVERYTHING, Sight
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger

PER_PAGE = 50
_AT_ONCE = 1000


def ledger_view(
    store: Store,
    *,
    kind: str = "",
    subject: str = "",
    verdict: str = "",
    page: int = 1,
    sight: Sight = EVERYTHING,
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
        but_below=sight.hidden_subjects(),
    )
    return {
        "records": seen_records(found[:PER_PAGE], sight),
        "kinds": [each.value for each in GateKind],
        "asked": {"kind": kind, "subject": subject, "verdict": verdict},
        "page": {"number": page, "more": len(found) > PER_PAGE},
    }


def record_view(
    store: Store, record_id: str, *, sight: Sight = EVERYTHING
) -> dict[str, Any] | None:
    """Return one record, its evidence as text; None when there is none."""
    try:
        record = Ledger(store).get(record_id)
    except LedgerError:
        return None
    for seen in seen_records([record], sight):
        shown = json.dumps(seen["evidence"], indent=2, ensure_ascii=False, sort_keys=True)
        return {**seen, "evidence_text": shown}
    return None


def seen_records(records: Iterable[GateRecord], sight: Sight) -> list[dict[str, Any]]:
    """Return the records that are in ``sight``, without what they say of anything that is not."""
    return [
        {
            **asdict(record),
            "criteria": sight.cut(record.criteria),
            "evidence": sight.cut(record.evidence),
        }
        for record in records
        if sight.shows_subject(record.subject)
    ]


def chain(store: Store) -> dict[str, Any]:
    """Read the whole chain and say whether it is whole."""
    records, broken = Ledger(store).verify()
    message = (
        f"All {records:,} records are there, unchanged and in order."
        if broken is None
        else f"The chain breaks at record {broken.sequence}: {broken.reason}"
    )
    return {"ok": broken is None, "records": records, "message": message}


def exported(store: Store, *, sight: Sight = EVERYTHING) -> Iterator[str]:
    """Yield every record in ``sight`` as a line of JSON, oldest first.

    One that also tells of something out of sight is left out: its hash covers all of it.
    """
    ledger = Ledger(store)
    offset = 0
    while records := ledger.search(limit=_AT_ONCE, offset=offset):
        for record in records:
            if not sight.shows_subject(record.subject) or sight.cut([asdict(record)]) == []:
                continue
            yield json.dumps(asdict(record), ensure_ascii=False, sort_keys=True) + "\n"
        offset += len(records)
