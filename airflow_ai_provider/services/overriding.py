"""Let a phase pass against its gate: only a named role may, with a reason, in the ledger.

An override is of one refusal: it names the criteria that this refusal failed. It holds while the
project file stays as it was, and lets the gate pass when it is asked again; what fails besides
still refuses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from airflow_ai_provider.core.errors import LedgerError, LifecycleError
from airflow_ai_provider.core.gate import (
    Criterion,
    GateDraft,
    GateKind,
    GateRecord,
    Origin,
    Verdict,
)
from airflow_ai_provider.services.project_file import ProjectFile
from airflow_ai_provider.store.ledger import Ledger

MIN_WORDS = 5


def override_refusal(
    ledger: Ledger,
    file: ProjectFile,
    refusal: str,
    *,
    by: str,
    reason: str,
    origin: Origin | None = None,
    key: str | None = None,
) -> GateRecord:
    """Write the override of the phase gate's record ``refusal`` and return its own.

    ``by`` is an Airflow user who is known to be who they say; ``refusal`` may also be the record of
    one pilot.

    :raises LifecycleError: the role is another's, the reason says nothing, or the refusal is none,
        not the newest, or of another project file.
    """
    project = file.project
    role = project.override_role
    if project.person(role) != by or by == project.owner:
        raise LifecycleError(
            f"Only the {role} of {project.name}, who must not be its owner, may override a gate.",
            remedy=f"Ask who fills people.{role}, or name another override_role.",
        )
    if len(re.findall(r"\w+", reason)) < MIN_WORDS:
        raise LifecycleError(
            "An override needs a reason.", remedy=f"Write at least {MIN_WORDS} words on why."
        )
    refused = _refusal(ledger, file, refusal)
    failed = [c for c in refused.criteria if not Verdict(c["verdict"]).lets_pass]
    draft = GateDraft(
        kind=GateKind.OVERRIDE,
        subject=refused.subject,
        verdict=Verdict.OVERRIDE,
        criteria=tuple(
            replace(Criterion(**{**c, "verdict": Verdict.FAIL}), verdict=Verdict.OVERRIDE)
            for c in failed
        ),
        evidence={
            "overrides": refused.id,
            "criteria": [c["name"] for c in failed],
            "role": role,
            "reason": reason.strip(),
            "project_file": file.digest,
        },
        decided_by=by,
        origin=origin or Origin(),
    )
    return ledger.append(draft, key=key or f"override:{refused.id}")


def standing_overrides(ledger: Ledger, file: ProjectFile, phase: str) -> Mapping[str, list[str]]:
    """Return the criteria that are overridden: under ``""`` of the phase, else by pilot."""
    subject = f"project://{file.project.name}/{phase}"
    found: dict[str, list[str]] = {}
    for record in ledger.search(kind=GateKind.OVERRIDE, subject_or_below=subject):
        if record.evidence.get("project_file") == file.digest:
            about = record.subject.removeprefix(subject).lstrip("/")
            found.setdefault(about, []).extend(record.evidence["criteria"])
    return found


def _refusal(ledger: Ledger, file: ProjectFile, record_id: str) -> GateRecord:
    prefix = f"project://{file.project.name}/"
    try:
        record = ledger.get(record_id)
    except LedgerError as error:
        raise LifecycleError(
            f"There is no refusal {record_id}.", remedy="Name the record that the phase gate wrote."
        ) from error
    is_phase = record.kind == GateKind.PHASE.value and record.subject.startswith(prefix)
    if not is_phase or Verdict(record.verdict).lets_pass:
        raise LifecycleError(
            f"Record {record_id} is no refusal of {file.project.name}.",
            remedy="Name the record that the phase gate wrote.",
        )
    if record.evidence.get("project_file") != file.digest:
        raise LifecycleError(
            "The project file changed after the refusal.", remedy="Ask the phase gate again first."
        )
    (newest,) = ledger.search(
        kind=GateKind.PHASE, subject=record.subject, newest_first=True, limit=1
    )
    if newest.id != record.id:
        raise LifecycleError(
            f"The gate was asked again after record {record_id}.",
            remedy=f"Override its newest refusal: {newest.id}.",
        )
    return record
