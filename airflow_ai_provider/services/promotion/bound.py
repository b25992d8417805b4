"""What was judged and approved is what is promoted: looked at again, just before the move.

A version of another run, files that changed, evidence that changed, a gate record that is missing
or was altered: each voids the decision and the approval on it, and no override mends that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.gate import Criterion, GateRecord, Verdict
from airflow_ai_provider.core.promotion.evidence import version_subject
from airflow_ai_provider.core.promotion.registry import ModelRegistry, ModelVersion
from airflow_ai_provider.store.evidence import Evidences
from airflow_ai_provider.store.ledger import Ledger


def check_bound(
    version: ModelVersion,
    *,
    decision: GateRecord | None,
    approval: GateRecord | None,
    evidence_hash: str | None,
    ledger: Ledger,
    registry: ModelRegistry,
) -> tuple[Criterion, ...]:
    """Return what was found unchanged since ``decision``, as criteria for the record.

    :raises EvidenceError: the version, its files or its evidence are not those that were judged.
    :raises LedgerError: a gate record that the move rests on is missing or was altered.
    :raises RegistryError: the files cannot be read, so nobody knows.
    """
    ledger.check(rests_on(decision, approval))
    kept = Evidences(ledger.store).find(evidence_hash) if evidence_hash else None
    judged: Mapping[str, Any] = decision.evidence if decision else kept or {}
    _same_run(version, judged, decision)
    return _same_files(version, judged, registry)


def rests_on(decision: GateRecord | None, approval: GateRecord | None) -> list[str]:
    """Return the ids of all gate records that let the model come this far."""
    found: list[Any] = []
    if approval is not None:
        found += [approval.id, *(approval.evidence.get("approvals") or ())]
    if decision is not None:
        training, data = (decision.evidence.get(name) or {} for name in ("training", "data"))
        found += [decision.id, *_named(training.get("gates")), *_named([data.get("drift")])]
    return list(map(str, found))


def _named(records: Any) -> Iterable[Any]:
    return [name for name in records or () if name]


def _same_run(
    version: ModelVersion, judged: Mapping[str, Any], decision: GateRecord | None
) -> None:
    """Look whether the version is of the run that was judged; a copy has a run of its own.

    MLflow numbers the versions of a model that was deleted and made again from 1 on.
    """
    subject = version_subject(version.name, version.version)
    was = judged.get("run_id")
    if decision is None or decision.subject != subject or not was or not version.run_id:
        return
    if version.run_id != was:
        raise EvidenceError(
            f"Version {version.version} of {version.name} is of run {version.run_id}, judged was "
            f"one of run {was}: it was made anew.",
            remedy="Judge this version.",
            judged=was,
            found=version.run_id,
        )


def _same_files(
    version: ModelVersion, judged: Mapping[str, Any], registry: ModelRegistry
) -> tuple[Criterion, ...]:
    was = (judged.get("measured") or {}).get("artifact_digest")
    if not was:
        return ()
    found = registry.artifact_digest(version.name, version.version)
    if found != was:
        raise EvidenceError(
            f"The files of version {version.version} of {version.name} changed since they were "
            f"judged: their digest is {found[:12]}, judged was {str(was)[:12]}. Decision and "
            "approval are void.",
            remedy="Register the model anew and judge that version.",
            judged=was,
            found=found,
        )
    return (
        Criterion(
            name="artifact",
            limit=was,
            observed=found,
            verdict=Verdict.PASS,
            sentence=f"The files are those that were judged ({found[:12]}).",
        ),
    )
