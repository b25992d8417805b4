"""Take an environment back to a version that it held before, according to the ledger."""

from __future__ import annotations

from airflow_ai_provider.core.errors import (
    PromotionError,
    RegistryNotFoundError,
)
from airflow_ai_provider.core.gate import (
    Criterion,
    GateDraft,
    GateKind,
    GateRecord,
    Origin,
    Verdict,
)
from airflow_ai_provider.core.promotion.environments import DEFAULT_PATH, EnvironmentPath
from airflow_ai_provider.core.promotion.evidence import version_subject
from airflow_ai_provider.core.promotion.registry import ModelRegistry, ModelVersion
from airflow_ai_provider.core.promotion.rollback import Placed, Target, choose
from airflow_ai_provider.services.promotion.bound import rests_on
from airflow_ai_provider.services.promotion.checks import override_by, standing_approval
from airflow_ai_provider.services.promotion.conflicts import refused, reported
from airflow_ai_provider.services.promotion.moving import (
    PAST,
    ROLLED_BACK,
    Move,
    Moved,
    begin,
    make_move,
)
from airflow_ai_provider.services.promotion.orders import LEDGER, RollbackOrder
from airflow_ai_provider.services.promotion.timeline import moves
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Promotions


def roll_back(
    order: RollbackOrder,
    *,
    promotions: Promotions,
    registry: ModelRegistry,
    key: str,
    moved_by: str,
    decided_by: str = "roll_back",
    origin: Origin | None = None,
    path: EnvironmentPath = DEFAULT_PATH,
    patience: float = 30.0,
) -> Moved:
    """Let ``order.environment`` name an earlier version again and put it on record, once per key.

    No decision or approval is needed: a way back must be short. The arguments are ``promote``'s.

    :raises PromotionError: there is no way back, or something stands against the target.
    :raises RegistryNotFoundError: the target is deleted; nobody can override that.
    :raises ApprovalError: an approval is named and does not hold.
    :raises LedgerError: a record that this rests on is missing or was altered.
    :raises PromotionConflictError: somebody else moved the model; names who.
    :raises RegistryError: the registry refuses, or does not answer.
    """
    path.index(order.environment)
    ledger, where = Ledger(promotions.store), (order.model_name, order.environment)
    done = begin(
        key,
        model_name=order.model_name,
        environment=order.environment,
        promotions=promotions,
        registry=registry,
    )
    if done is not None:
        return done
    records = _moves_into(*where, ledger)
    placed = [_as_placed(record) for record in records]
    holds_now = placed[-1].version if placed else None
    target, version = _target(order, placed, registry)
    if order.expected == LEDGER and holds_now == target.version:
        raise _there_already(order, target.version, registry, ledger)
    by = _may(order, target)
    approval = standing_approval(order.approval, None, order.evidence_hash, ledger)
    ledger.check({*_rests_on(records, target.version), *rests_on(None, approval)})
    draft = _draft(
        order,
        target,
        version,
        left=holds_now if order.expected == LEDGER else order.expected,
        moved_by=moved_by,
        decided_by=by or (approval.decided_by if approval else decided_by),
        origin=origin or Origin(),
    )
    return make_move(
        _move(order, target, expected=_expected(order, holds_now, registry), draft=draft),
        promotions=promotions,
        registry=registry,
        key=key,
        moved_by=moved_by,
        patience=patience,
    )


def _moves_into(model_name: str, environment: str, ledger: Ledger) -> list[GateRecord]:
    return [r for r in moves(model_name, ledger) if r.evidence["environment"] == environment]


def _rests_on(records: list[GateRecord], target: str) -> set[str]:
    """Return the records that say what is there, and that the target was: they must hold."""
    there = [record.id for record in records if record.evidence["to"] == target]
    return {*there[-1:], *(record.id for record in records[-1:])}


def _as_placed(record: GateRecord) -> Placed:
    said = record.evidence
    return Placed(
        version=said["to"],
        is_rollback=record.kind == GateKind.ROLLBACK.value,
        left=said["from"],
        for_cause=bool(said.get("for_cause")),
    )


def _target(
    order: RollbackOrder, placed: list[Placed], registry: ModelRegistry
) -> tuple[Target, ModelVersion]:
    looked_at: dict[str, ModelVersion] = {}

    def trouble(version: str) -> str | None:
        try:
            found = looked_at[version] = registry.get_version(order.model_name, version)
        except RegistryNotFoundError:
            return f"version {version} is deleted"
        return None if found.is_ready else f"version {version} is {found.status}, not READY"

    target = choose(placed, order.target, trouble=trouble)
    where = f"{order.model_name}@{order.environment}"
    if target is None:
        raise PromotionError(
            f"{where} has no {order.target.replace('_', ' ')} version to go back to.",
            remedy="Name a version, or look at `airflow-ai promotion history`.",
        )
    if target.version not in looked_at:
        raise RegistryNotFoundError(
            f"{where} cannot go back to version {target.version}: it is deleted.",
            remedy="Roll back to newest_good, or name another version.",
            version=target.version,
        )
    return target, looked_at[target.version]


def _there_already(
    order: RollbackOrder, version: str, registry: ModelRegistry, ledger: Ledger
) -> PromotionError:
    """Return the error that says why there is nothing to go back from."""
    found = registry.aliases(order.model_name).get(order.environment)
    if found != version:
        error = refused(order.model_name, order.environment, version, found, ledger)
        return reported(
            error, order.model_name, order.environment, ledger=ledger, registry=registry
        )
    return PromotionError(
        f"{order.model_name}@{order.environment} holds version {version} already.",
        remedy="Name another version.",
    )


def _may(order: RollbackOrder, target: Target) -> str | None:
    """Return who overrides the objections; None when there are none.

    :raises PromotionError: there are, and nobody does.
    """
    by = override_by(order.override)
    if target.objections and by is None:
        raise PromotionError(
            f"{order.model_name}@{order.environment} does not go back to version "
            f"{target.version}: {'; '.join(target.objections)}.",
            remedy="Choose another target, or name an override with who and why.",
            failed=list(target.objections),
        )
    return by if target.objections else None


def _expected(order: RollbackOrder, holds_now: str | None, registry: ModelRegistry) -> str | None:
    """Return what the alias must name: as said, or as the ledger says.

    MLflow takes an alias away with the version that it names. The way back from a deleted version
    is open: there is no move of anybody's to move over.
    """
    if order.expected != LEDGER:
        return order.expected
    if holds_now is None or registry.aliases(order.model_name).get(order.environment) is not None:
        return holds_now
    try:
        registry.get_version(order.model_name, holds_now)
    except RegistryNotFoundError:
        return None
    return holds_now


def _move(order: RollbackOrder, target: Target, *, expected: str | None, draft: GateDraft) -> Move:
    return Move(
        model_name=order.model_name,
        environment=order.environment,
        version=target.version,
        expected=expected,
        draft=draft,
        left_as=ROLLED_BACK if order.for_cause else PAST,
    )


def _draft(
    order: RollbackOrder,
    target: Target,
    version: ModelVersion,
    *,
    left: str | None,
    moved_by: str,
    decided_by: str,
    origin: Origin,
) -> GateDraft:
    verdict = Verdict.OVERRIDE if target.objections else Verdict.PASS
    reason = order.reason or "no reason given"
    why = f"Back from version {left} to {order.target.replace('_', ' ')}: {reason}."
    if target.objections and order.override:
        why = f"Overridden by {order.override['by']}: {order.override['reason']}. {why}"
    return GateDraft(
        kind=GateKind.ROLLBACK,
        subject=version_subject(order.model_name, target.version),
        verdict=verdict,
        criteria=(_good(target),),
        evidence={
            "model_name": order.model_name,
            "environment": order.environment,
            "from": left,
            "to": target.version,
            "target": order.target,
            "for_cause": order.for_cause,
            "reason": order.reason or None,
            "approval": order.approval,
            "evidence_hash": order.evidence_hash,
            "override": dict(order.override) if order.override else None,
            "run_id": version.run_id,
            "moved_by": moved_by,
            "why": why,
            "project": order.project,
        },
        decided_by=decided_by,
        origin=origin,
    )


def _good(target: Target) -> Criterion:
    return Criterion(
        name="good_target",
        limit=True,
        observed=not target.objections,
        verdict=Verdict.FAIL if target.objections else Verdict.PASS,
        sentence="; ".join(target.objections).capitalize() + "."
        if target.objections
        else f"Version {target.version} was there before, is ready and was never taken back.",
    )
