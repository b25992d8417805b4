"""Notice what was done to a model outside Airflow: aliases moved by hand, versions deleted.

It is noticed, not prevented. MLflow keeps no word on who moved an alias or when; what it does keep
(who made a version and when, when the model last changed) goes with the alarm.

An alarm is one record of the ledger: kind ``drift``, subject ``mlflow://NAME@ENVIRONMENT`` or, for
a deleted version, ``mlflow://NAME@ENVIRONMENT/VERSION``, verdict ``fail``. It is raised once,
however often somebody looks, and closed by a record that passes when both agree again.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from airflow_ai_provider.core.errors import RegistryNotFoundError
from airflow_ai_provider.core.gate import (
    Criterion,
    GateDraft,
    GateKind,
    GateRecord,
    Origin,
    Verdict,
    digest,
)
from airflow_ai_provider.core.promotion.environments import DEFAULT_PATH, EnvironmentPath
from airflow_ai_provider.core.promotion.evidence import SUBJECT_SCHEME
from airflow_ai_provider.core.promotion.registry import ModelRegistry
from airflow_ai_provider.services.promotion.timeline import holders, moves
from airflow_ai_provider.store.ledger import Ledger

MOVED, TAKEN_AWAY, DELETED = "moved", "taken away", "deleted"


def check_aliases(
    model_name: str,
    *,
    ledger: Ledger,
    registry: ModelRegistry,
    path: EnvironmentPath = DEFAULT_PATH,
) -> list[dict[str, Any]]:
    """Return each environment whose alias is not where the ledger put it.

    Each is ``{"model_name", "environment", "expected", "found", "what", "record", "by",
    "registry_says", "sentence"}``; ``what`` is ``moved``, ``taken away`` or ``deleted``, ``by`` who
    decided what the ledger expects.

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
        if actual != expected:
            drifts.append(
                {
                    "model_name": model_name,
                    "environment": environment,
                    "expected": expected,
                    "found": actual,
                    "record": holder["record"] if holder else None,
                    "by": holder["by"] if holder else None,
                    **_told(model_name, environment, expected, actual, registry),
                }
            )
    return drifts


def deleted_versions(
    model_name: str, *, ledger: Ledger, registry: ModelRegistry
) -> list[dict[str, Any]]:
    """Return the versions that were in an environment before and are no longer in the registry.

    There is no way back to them. Each is as from ``check_aliases``; a version that holds an
    environment now is told of there.
    """
    there = {version.version for version in registry.find_versions(model_name)}
    holding = {i["version"] for i in holders(model_name, ledger=ledger).values()}
    newest = {
        record.evidence["to"]: record
        for record in moves(model_name, ledger)
        if record.evidence["to"] is not None
    }
    return [
        {
            "model_name": model_name,
            "environment": record.evidence["environment"],
            "expected": version,
            "found": None,
            "what": DELETED,
            "record": record.id,
            "by": record.decided_by,
            "registry_says": _model(model_name, registry),
            "sentence": f"Version {version} of {model_name}, once in "
            f"{record.evidence['environment']}, was deleted: there is no way back to it.",
        }
        for version, record in newest.items()
        if version not in there and version not in holding
    ]


def watch_aliases(
    model_name: str,
    *,
    ledger: Ledger,
    registry: ModelRegistry,
    decided_by: str = "watch_aliases",
    origin: Origin | None = None,
    path: EnvironmentPath = DEFAULT_PATH,
) -> list[dict[str, Any]]:
    """Look, raise an alarm for what is new, close what is in order again; return what is open.

    Each is as from ``check_aliases``, with ``alarm`` (the record) and ``is_new``.
    """
    open_now = {
        **{
            _subject(d["model_name"], d["environment"]): d
            for d in check_aliases(model_name, ledger=ledger, registry=registry, path=path)
        },
        **{
            f"{_subject(d['model_name'], d['environment'])}/{d['expected']}": d
            for d in deleted_versions(model_name, ledger=ledger, registry=registry)
        },
    }
    last = _last_told(model_name, ledger)
    by = {"decided_by": decided_by, "origin": origin or Origin()}
    for subject, record in last.items():
        if record.verdict == Verdict.FAIL.value and subject not in open_now:
            _write(ledger, _closing(subject, record, **by), after=record)
    told = []
    for subject, drift in open_now.items():
        standing = last.get(subject)
        is_new = standing is None or not _same(standing, drift)
        if is_new:
            standing = _write(ledger, _alarm(subject, drift, **by), after=standing)
        told.append({**drift, "alarm": standing.id if standing else None, "is_new": is_new})
    return told


def open_alarms(model_name: str, *, ledger: Ledger) -> list[GateRecord]:
    """Return the alarms that the ledger has open, without a look at the registry."""
    told = _last_told(model_name, ledger).values()
    return [record for record in told if record.verdict == Verdict.FAIL.value]


def _last_told(model_name: str, ledger: Ledger) -> dict[str, GateRecord]:
    """Return the newest alarm, or its closing, about each environment and version."""
    prefix = f"{SUBJECT_SCHEME}{model_name}@"
    found = ledger.search(kind=GateKind.DRIFT, subject_prefix=prefix)
    return {record.subject: record for record in found}


def _told(
    name: str, environment: str, expected: str | None, found: str | None, registry: ModelRegistry
) -> dict[str, Any]:
    what, says = MOVED, _model(name, registry)
    if found is not None:
        made = registry.get_version(name, found)
        says = {"version_made_by": made.created_by, "version_made_at": made.created_at, **says}
    elif expected is not None:
        what = TAKEN_AWAY
        try:
            registry.get_version(name, expected)
        except RegistryNotFoundError:
            what = DELETED
    how = {
        MOVED: "it was moved outside Airflow",
        TAKEN_AWAY: "the alias was taken away outside Airflow",
        DELETED: "the version was deleted outside Airflow",
    }
    sentence = (
        f"{name}@{environment} names {_version(found)}, but the ledger put {_version(expected)} "
        f"there: {how[what]}."
    )
    return {"what": what, "registry_says": says, "sentence": sentence}


def _model(name: str, registry: ModelRegistry) -> dict[str, Any]:
    try:
        return {"model_changed_at": registry.changed_at(name)}
    except RegistryNotFoundError:
        return {"model_changed_at": None}


def _version(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"


def _subject(name: str, environment: str) -> str:
    return f"{SUBJECT_SCHEME}{name}@{environment}"


def _same(record: GateRecord, drift: Mapping[str, Any]) -> bool:
    """Whether ``record`` is the alarm about this very drift, still open."""
    said = record.evidence
    same = all(said.get(name) == drift[name] for name in ("record", "expected", "found"))
    return same and record.verdict == Verdict.FAIL.value


def _alarm(subject: str, drift: Mapping[str, Any], **by: Any) -> GateDraft:
    criterion = Criterion(
        name="alias_as_recorded",
        limit=drift["expected"],
        observed=drift["found"],
        verdict=Verdict.FAIL,
        sentence=drift["sentence"],
    )
    return GateDraft(
        kind=GateKind.DRIFT,
        subject=subject,
        verdict=Verdict.FAIL,
        criteria=(criterion,),
        evidence=dict(drift),
        **by,
    )


def _closing(subject: str, alarm: GateRecord, **by: Any) -> GateDraft:
    criterion = Criterion(
        name="alias_as_recorded",
        limit=None,
        observed=None,
        verdict=Verdict.PASS,
        sentence="The registry says what the ledger says again.",
    )
    return GateDraft(
        kind=GateKind.DRIFT,
        subject=subject,
        verdict=Verdict.PASS,
        criteria=(criterion,),
        evidence={"alarm": alarm.id},
        **by,
    )


def _write(ledger: Ledger, draft: GateDraft, *, after: GateRecord | None) -> GateRecord:
    """Write it once: of two who see the same at the same time, both get the one record."""
    seen = {k: draft.evidence.get(k) for k in ("record", "expected", "found", "alarm")}
    key = digest([draft.subject, after.id if after else None, seen])
    return ledger.append(draft, key=f"alias:{key}")
