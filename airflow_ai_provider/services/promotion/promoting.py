"""Move a model version into an environment, forwards along the path."""

from __future__ import annotations

from airflow_ai_provider.core.gate import GateDraft, GateKind, Origin
from airflow_ai_provider.core.promotion.environments import DEFAULT_PATH, EnvironmentPath
from airflow_ai_provider.core.promotion.evidence import version_subject
from airflow_ai_provider.core.promotion.registry import ModelRegistry
from airflow_ai_provider.services.promotion.checks import Clearance, check_order
from airflow_ai_provider.services.promotion.moving import Move, Moved, begin, make_move
from airflow_ai_provider.services.promotion.orders import LEDGER, PromotionOrder
from airflow_ai_provider.services.promotion.timeline import holder
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Promotions


def promote(
    order: PromotionOrder,
    *,
    promotions: Promotions,
    registry: ModelRegistry,
    key: str,
    moved_by: str,
    decided_by: str = "promote",
    origin: Origin | None = None,
    path: EnvironmentPath = DEFAULT_PATH,
    patience: float = 30.0,
) -> Moved:
    """Move ``order.version`` into ``order.environment`` and put it on record, once per ``key``.

    ``moved_by`` names the promoter: the losers of a race are told so. ``decided_by`` stands in the
    record when neither an approval nor an override names a person. ``patience`` is the seconds to
    wait for another move of the same model to end.

    :raises PromotionError: a step would be skipped, or a decision is missing.
    :raises EvidenceError: the decision is about something else, or what it judged changed: the
        version, its files or its evidence.
    :raises LedgerError: a gate record that this rests on is missing or was altered.
    :raises ApprovalError: the approval is missing, a no, or of something else.
    :raises PromotionConflictError: somebody else moved the model; names who.
    :raises RegistryError: the registry refuses, or does not answer.
    """
    ledger = Ledger(promotions.store)
    done = begin(
        key,
        model_name=order.model_name,
        environment=order.environment,
        promotions=promotions,
        registry=registry,
    )
    if done is not None:
        return done
    clearance = check_order(order, ledger=ledger, registry=registry, path=path)
    if (there := _there_already(order, registry, ledger)) is not None:
        return there
    draft = _draft(order, clearance, moved_by, decided_by, origin or Origin())
    return make_move(
        Move(
            model_name=order.model_name,
            environment=order.environment,
            version=order.version,
            expected=clearance.expected,
            draft=draft,
        ),
        promotions=promotions,
        registry=registry,
        key=key,
        moved_by=moved_by,
        patience=patience,
    )


def _there_already(order: PromotionOrder, registry: ModelRegistry, ledger: Ledger) -> Moved | None:
    """Return the earlier promotion of this version, when nothing is left to move."""
    record = holder(order.model_name, order.environment, ledger=ledger)
    if record is None or record.evidence["to"] != order.version or order.expected != LEDGER:
        return None
    if registry.aliases(order.model_name).get(order.environment) != order.version:
        return None
    return Moved(record=record, previous=record.evidence["from"], is_new=False)


def _draft(
    order: PromotionOrder, clearance: Clearance, moved_by: str, decided_by: str, origin: Origin
) -> GateDraft:
    return GateDraft(
        kind=GateKind.PROMOTION,
        subject=version_subject(order.model_name, order.version),
        verdict=clearance.verdict,
        criteria=clearance.criteria,
        evidence={
            "model_name": order.model_name,
            "environment": order.environment,
            "from": clearance.expected,
            "to": order.version,
            "alias_before": clearance.expected,
            "decision": order.decision,
            "approval": order.approval,
            "evidence_hash": clearance.evidence_hash,
            "override": dict(order.override) if order.override else None,
            "run_id": clearance.run_id,
            "moved_by": moved_by,
            "why": clearance.why,
            "project": order.project,
        },
        decided_by=clearance.decided_by or decided_by,
        origin=origin,
    )
