"""What was in which environment when, according to the ledger."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from airflow_ai_provider.core.errors import RegistryNotFoundError
from airflow_ai_provider.core.gate import GateKind, GateRecord, Verdict
from airflow_ai_provider.core.promotion.environments import DEFAULT_PATH, EnvironmentPath
from airflow_ai_provider.core.promotion.evidence import version_subject
from airflow_ai_provider.core.promotion.registry import ModelRegistry
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


def was_made(record: GateRecord) -> bool:
    """Whether the record is of a move that was made, not of one that was refused."""
    return Verdict(record.verdict).lets_pass and "environment" in record.evidence


def check_aliases(
    model_name: str,
    *,
    ledger: Ledger,
    registry: ModelRegistry,
    path: EnvironmentPath = DEFAULT_PATH,
) -> list[dict[str, Any]]:
    """Return each environment whose alias is not where the ledger put it.

    Each is ``{"model_name", "environment", "expected", "found", "record", "by", "sentence"}``: who
    moves an alias by hand, or deletes a live version, is noticed here, not prevented.

    A model that the registry no longer has is missing from every environment it was in.
    """
    known = holders(model_name, ledger=ledger)
    found: dict[str, str] = {}
    with suppress(RegistryNotFoundError):
        found = registry.aliases(model_name)
    drifts = []
    for environment in path.names:
        holder = known.get(environment)
        expected = holder["version"] if holder else None
        actual = found.get(environment)
        if actual == expected:
            continue
        drifts.append(
            {
                "model_name": model_name,
                "environment": environment,
                "expected": expected,
                "found": actual,
                "record": holder["record"] if holder else None,
                "by": holder["by"] if holder else None,
                "sentence": f"{model_name}@{environment} names {_version(actual)}, but the ledger "
                f"put {_version(expected)} there: it was moved outside Airflow.",
            }
        )
    return drifts


def _version(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"


def _holds(interval: dict[str, Any], at: datetime) -> bool:
    begins = datetime.fromisoformat(interval["from"])
    ends = datetime.fromisoformat(interval["to"]) if interval["to"] else None
    return begins <= at and (ends is None or at < ends)
