"""What must be true before a model version may move into an environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from airflow_ai_provider.core.errors import (
    ApprovalError,
    EvidenceError,
    LedgerError,
    PromotionError,
    RegistryError,
)
from airflow_ai_provider.core.gate import Criterion, GateKind, GateRecord, Verdict, digest
from airflow_ai_provider.core.promotion.environments import EnvironmentPath
from airflow_ai_provider.core.promotion.evidence import SUBJECT_SCHEME, version_subject
from airflow_ai_provider.core.promotion.registry import ModelRegistry, ModelVersion
from airflow_ai_provider.services.promotion.bound import check_bound
from airflow_ai_provider.services.promotion.orders import LEDGER, PromotionOrder
from airflow_ai_provider.services.promotion.timeline import MOVES, holder, lineage, was_made
from airflow_ai_provider.store.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Clearance:
    """An order that may go on: what the alias must still be, and the reasons."""

    expected: str | None
    criteria: tuple[Criterion, ...]
    verdict: Verdict
    evidence_hash: str | None
    decided_by: str | None
    why: str
    run_id: str | None


def check_order(
    order: PromotionOrder, *, ledger: Ledger, registry: ModelRegistry, path: EnvironmentPath
) -> Clearance:
    """Return the clearance of ``order``, or say what stands against it.

    :raises PromotionError: see ``promote``.
    """
    path.index(order.environment)
    by = override_by(order.override)
    version = registry.get_version(order.model_name, order.version)
    if not version.is_ready:
        raise RegistryError(
            f"Version {order.version} of {order.model_name} is {version.status}, not READY.",
            remedy="Register the model again.",
        )
    decision = _decision(order, version, ledger)
    bound = _bound_hash(order, decision)
    approval = standing_approval(order.approval, decision, bound, ledger)
    unchanged = check_bound(
        version,
        decision=decision,
        approval=approval,
        evidence_hash=bound,
        ledger=ledger,
        registry=registry,
    )
    criteria = (
        _step(order, ledger, path),
        _decided(order, decision, path),
        *([_approved(approval)] if approval else []),
        *unchanged,
        *_not_taken_back(order, decision, ledger, path),
    )
    refused = [c for c in criteria if c.verdict is Verdict.FAIL]
    if refused and by is None:
        raise PromotionError(
            " ".join(c.sentence for c in refused),
            remedy="Take the step first, or name an override with who and why.",
            failed=[c.name for c in refused],
        )
    return Clearance(
        expected=_expected(order, decision, ledger, path),
        criteria=criteria,
        verdict=Verdict.OVERRIDE if refused else Verdict.PASS,
        evidence_hash=bound,
        decided_by=by if refused else (approval.decided_by if approval else None),
        why=_why(order, criteria, overridden=bool(refused)),
        run_id=version.run_id,
    )


def read_record(ledger: Ledger, record_id: str, kind: GateKind) -> GateRecord:
    """Return the gate record ``record_id``, found unchanged and of ``kind``.

    :raises EvidenceError: it is not there, or of another kind.
    :raises LedgerError: it was changed after it was written.
    """
    try:
        record = ledger.get(record_id)
    except LedgerError as error:
        raise EvidenceError(
            f"There is no {kind.value} record {record_id} in the ledger.",
            remedy="Pass the id that the gate returned as `record`.",
            record=record_id,
        ) from error
    if record.kind != kind.value:
        raise EvidenceError(
            f"Record {record_id} is of kind {record.kind}, not {kind.value}.", record=record_id
        )
    if digest(record.content()) != record.hash:
        raise LedgerError(
            f"Record {record_id} was changed after it was written.",
            remedy="Run `airflow-ai ledger verify`; nothing can rest on it.",
            record=record_id,
        )
    return record


def override_by(override: Mapping[str, str] | None) -> str | None:
    """Return who overrides; None when nobody does.

    :raises PromotionError: it does not say who, or why.
    """
    if not override:
        return None
    by, reason = override.get("by"), override.get("reason")
    if not by or not reason:
        raise PromotionError(
            "An override needs who and why.", remedy='Write {"by": "...", "reason": "..."}.'
        )
    return by


def _decision(order: PromotionOrder, version: ModelVersion, ledger: Ledger) -> GateRecord | None:
    if not order.decision:
        return None
    record = read_record(ledger, order.decision, GateKind.MODEL)
    about = set(lineage(order.model_name, order.version, ledger))
    if version.run_id:
        about.add(f"{SUBJECT_SCHEME}{order.model_name}/runs/{version.run_id}")
    if record.subject not in about:
        raise EvidenceError(
            f"Decision {record.id} is about {record.subject}, not about version {order.version} "
            f"of {order.model_name}.",
            remedy="Judge this version.",
            subject=record.subject,
        )
    return record


def _bound_hash(order: PromotionOrder, decision: GateRecord | None) -> str | None:
    judged = decision.evidence.get("evidence_hash") if decision else None
    if order.evidence_hash and judged and order.evidence_hash != judged:
        raise EvidenceError(
            f"The evidence changed since decision {order.decision}: its hash is "
            f"{order.evidence_hash[:12]}, judged was {judged[:12]}.",
            remedy="Judge the new evidence.",
        )
    return judged or order.evidence_hash


def standing_approval(
    approval: str | None, decision: GateRecord | None, bound: str | None, ledger: Ledger
) -> GateRecord | None:
    """Return the record ``approval``, found to hold for what is bound; None when none is named.

    :raises ApprovalError: it is not there, or does not hold.
    """
    if not approval:
        return None
    try:
        record = read_record(ledger, approval, GateKind.APPROVAL)
    except EvidenceError as error:
        raise ApprovalError(error.message, remedy=error.remedy, **error.facts) from error
    for part in record.evidence.get("approvals") or ():  # an approval by several
        standing_approval(str(part), decision, bound, ledger)
    if (reason := _why_void(record, decision, bound)) is not None:
        raise ApprovalError(
            f"Approval {record.id} does not hold: {reason}.",
            remedy="Ask for approval of what is promoted.",
            record=record.id,
        )
    return record


def _why_void(record: GateRecord, decision: GateRecord | None, bound: str | None) -> str | None:
    if record.verdict != Verdict.PASS.value:
        return f"{record.decided_by or 'nobody'} answered no"
    if not record.decided_by:
        return "nobody gave it"
    if record.decided_by == record.evidence.get("submitter"):
        return f"{record.decided_by} submitted what is approved"
    if bound is None:
        return "there is no decision or evidence_hash to hold it to"
    if record.evidence.get("evidence_hash") != bound:
        return "it was given on other evidence"
    approved = record.evidence.get("decision")
    if decision is not None and approved is not None and approved != decision.id:
        return f"it was given on decision {approved}, not {decision.id}"
    return None


def _step(order: PromotionOrder, ledger: Ledger, path: EnvironmentPath) -> Criterion:
    before = path.before(order.environment)
    taken = before is None or any(
        was_made(record)
        and record.evidence["environment"] == before
        and record.evidence["to"] == subject.rpartition("/")[2]
        for subject in lineage(order.model_name, order.version, ledger)
        for record in ledger.search(kinds=MOVES, subject=subject)
    )
    if before is None:
        sentence = f"{order.environment} is the first environment."
    elif taken:
        sentence = f"Version {order.version} came through {before}."
    else:
        sentence = (
            f"Version {order.version} of {order.model_name} was never in {before}, which comes "
            f"before {order.environment}."
        )
    return _criterion("environment_path", before, taken, sentence)


def _decided(
    order: PromotionOrder, decision: GateRecord | None, path: EnvironmentPath
) -> Criterion:
    if decision is None:
        needed = path.needs_decision(order.environment)
        sentence = (
            f"{order.environment} needs the passing decision of a model gate; none is named."
            if needed
            else f"{order.environment} needs no decision."
        )
        return _criterion("decision", needed, not needed, sentence)
    passed = Verdict(decision.verdict).lets_pass
    sentence = (
        f"Model gate {decision.id} says {decision.verdict}."
        if passed
        else f"Model gate {decision.id} refused this version."
    )
    return _criterion("decision", True, passed, sentence)


def _approved(approval: GateRecord) -> Criterion:
    return _criterion("approval", True, True, f"{approval.decided_by} approved ({approval.id}).")


def _criterion(name: str, limit: object, met: bool, sentence: str) -> Criterion:
    verdict = Verdict.PASS if met else Verdict.FAIL
    return Criterion(name=name, limit=limit, observed=met, verdict=verdict, sentence=sentence)


def _not_taken_back(
    order: PromotionOrder, decision: GateRecord | None, ledger: Ledger, path: EnvironmentPath
) -> list[Criterion]:
    """Return what stands against a version that was rolled back for cause since its decision."""
    places = {order.environment, path.before(order.environment)}
    since = moment(decision) if decision else None
    for record in taken_back(order.model_name, ledger):
        found = record.evidence
        if found["from"] != order.version or found["environment"] not in places:
            continue
        if since is None or moment(record) > since:
            sentence = (
                f"Version {order.version} was rolled back from {found['environment']} for cause "
                f"({record.id}): {found.get('reason') or 'no reason given'}."
            )
            return [_criterion("not_rolled_back", None, False, sentence)]
    return []


def taken_back(model_name: str, ledger: Ledger) -> list[GateRecord]:
    """Return the rollbacks of the model for cause, newest first; ``from`` is the bad version."""
    found = ledger.search(
        kinds=(GateKind.ROLLBACK,),
        subject_prefix=version_subject(model_name, ""),
        newest_first=True,
    )
    return [record for record in found if was_made(record) and record.evidence.get("for_cause")]


def moment(record: GateRecord) -> datetime:
    """Return when the record was written."""
    return datetime.fromisoformat(record.created_at)


def _expected(
    order: PromotionOrder, decision: GateRecord | None, ledger: Ledger, path: EnvironmentPath
) -> str | None:
    """Return what the environment must still hold: said, or as the decision saw it, or as it is."""
    if order.expected != LEDGER:
        return order.expected
    if decision is not None and order.environment == path.last:
        judged = decision.evidence
        if judged.get("reference_kind") == "champion" and judged.get("reference_version"):
            return str(judged["reference_version"])
    last = holder(order.model_name, order.environment, ledger=ledger, before=decision)
    return last.evidence["to"] if last else None


def _why(order: PromotionOrder, criteria: tuple[Criterion, ...], *, overridden: bool) -> str:
    sentences = " ".join(c.sentence for c in criteria)
    if overridden and order.override:
        return f"Overridden by {order.override['by']}: {order.override['reason']}. {sentences}"
    return sentences
