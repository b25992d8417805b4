"""When the life is over: read from the state, never from a clock."""

from __future__ import annotations

from typing import Any

from airflow_ai_provider.core.gate import GateKind, GateRecord
from airflow_ai_provider.demo.ledger import Gates

LAST_MONTH = "2013-07"


def is_over(gates: Gates, _runs: list[dict[str, Any]]) -> str | None:
    """Return what the life still lacks, or None when the last month is closed.

    The last month is closed when its retrain decision is taken and, on a yes, the challenger that
    the decision asked for was judged.
    """
    records = gates.records()
    decision = _of_last_month(records, GateKind.RETRAIN)
    if decision is None:
        return f"no retrain decision of {LAST_MONTH} was taken"
    if decision.verdict == "pass" and not _judged_after(records, decision):
        return f"the challenger that {LAST_MONTH} asked for was not judged"
    return None


def _of_last_month(records: list[GateRecord], kind: GateKind) -> GateRecord | None:
    found = [r for r in records if r.kind == kind and r.evidence.get("partition") == LAST_MONTH]
    return found[-1] if found else None


def _judged_after(records: list[GateRecord], decision: GateRecord) -> bool:
    later = records[records.index(decision) + 1 :]
    return any(record.kind == GateKind.MODEL for record in later)
