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

_MOVES = {GateKind.PROMOTION.value, GateKind.ROLLBACK.value}


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


def moves(model_name: str, ledger: Ledger) -> list[GateRecord]:
    """Return the records of every move of the model, oldest first."""
    return [
        record
        for record in ledger.search(subject_prefix=version_subject(model_name, ""))
        if record.kind in _MOVES and Verdict(record.verdict).lets_pass
    ]


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
