"""What was in which environment when, according to the ledger."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_ai_provider.core.gate import GateKind, GateRecord, Verdict
from airflow_ai_provider.core.promotion.evidence import version_subject
from airflow_ai_provider.store.ledger import Ledger

MOVES = (GateKind.PROMOTION, GateKind.ROLLBACK)
_PAGE = 50


def history(model_name: str, *, ledger: Ledger, at: datetime | None = None) -> list[dict[str, Any]]:
    """Return the intervals during which a version was in an environment, oldest first.

    Each is ``{"environment", "version", "from", "to", "by", "why", "record"}``; ``to`` is None for
    the one that holds. With ``at`` only those that held at that moment.
    """
    intervals: list[dict[str, Any]] = []
    open_by_environment: dict[str, dict[str, Any]] = {}
    for record in moves(model_name, ledger):
        environment = record.evidence["environment"]
        if before := open_by_environment.get(environment):
            before["to"] = record.created_at
            del open_by_environment[environment]
        if record.evidence["to"] is None:
            continue  # a way back to nothing
        interval = {
            "environment": environment,
            "version": record.evidence["to"],
            "from": record.created_at,
            "to": None,
            "by": record.decided_by,
            "why": record.evidence.get("why", ""),
            "record": record.id,
        }
        open_by_environment[environment] = interval
        intervals.append(interval)
    return intervals if at is None else [i for i in intervals if _holds(i, at)]


def holders(model_name: str, *, ledger: Ledger) -> dict[str, dict[str, Any]]:
    """Return the interval that holds now, for each environment that has one."""
    return {i["environment"]: i for i in history(model_name, ledger=ledger) if i["to"] is None}


def holder(
    model_name: str,
    environment: str,
    *,
    ledger: Ledger,
    before: GateRecord | None = None,
) -> GateRecord | None:
    """Return the newest move into ``environment``, ``before`` a record; None when there was none.

    Its ``to`` is None when the last move took the environment's only version away. The newest
    records are read first, so that it costs the same however long a model lives.
    """
    at = datetime.fromisoformat(before.created_at) if before else None
    offset = 0
    while True:
        page = ledger.search(
            kinds=MOVES,
            subject_prefix=version_subject(model_name, ""),
            newest_first=True,
            limit=_PAGE,
            offset=offset,
        )
        for record in page:
            if at is not None and datetime.fromisoformat(record.created_at) > at:
                continue
            if was_made(record) and record.evidence["environment"] == environment:
                return record
        if len(page) < _PAGE:
            return None
        offset += _PAGE


def moves(model_name: str, ledger: Ledger) -> list[GateRecord]:
    """Return the records of every move of the model, oldest first."""
    found = ledger.search(kinds=MOVES, subject_prefix=version_subject(model_name, ""))
    return [record for record in found if was_made(record)]


def lineage(model_name: str, version: str, ledger: Ledger) -> list[str]:
    """Return the subjects that are this version: itself, and what it was copied from."""
    found = [version_subject(model_name, version)]
    while len(found) < 10:
        copies = ledger.search(kinds=(GateKind.PROMOTION,), subject=found[-1])
        origins = [r.evidence["copied_from"] for r in copies if "copied_from" in r.evidence]
        if not origins or origins[0]["subject"] in found:
            break
        found.append(origins[0]["subject"])
    return found


def was_made(record: GateRecord) -> bool:
    """Whether the record is of a move that was made, not of one that was refused."""
    return Verdict(record.verdict).lets_pass and "environment" in record.evidence


def _holds(interval: dict[str, Any], at: datetime) -> bool:
    begins = datetime.fromisoformat(interval["from"])
    ends = datetime.fromisoformat(interval["to"]) if interval["to"] else None
    return begins <= at and (ends is None or at < ends)
