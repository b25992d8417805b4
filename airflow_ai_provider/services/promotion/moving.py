"""Move a model version into an environment.

1. Everything that must be true is looked at (``checks.py``).
2. The model's guarded row is claimed, with what the move will write.
3. The alias must still name what is expected; it is moved and read back.
4. The claim falls and the ledger record is written, in one transaction.

A promoter that dies after 2 leaves its claim: its own retry goes on where it was; anybody else is
refused until the claim is old, then finishes it when the alias was moved, or drops it when not.
MLflow has no compare-and-set: whoever moves aliases by hand between two of our requests is noticed
by the reading back, or by ``check_aliases``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from airflow_ai_provider.core.errors import (
    PromotionConflictError,
    RegistryError,
    RegistryUnavailableError,
)
from airflow_ai_provider.core.gate import (
    Criterion,
    GateDraft,
    GateKind,
    GateRecord,
    Origin,
    Verdict,
    plain,
)
from airflow_ai_provider.core.promotion.environments import DEFAULT_PATH, EnvironmentPath
from airflow_ai_provider.core.promotion.evidence import version_subject
from airflow_ai_provider.core.promotion.registry import ModelRegistry
from airflow_ai_provider.services.promotion.checks import Clearance, check_order
from airflow_ai_provider.services.promotion.orders import LEDGER, PromotionOrder
from airflow_ai_provider.services.promotion.timeline import holders
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Claim, Promotions


@dataclass(frozen=True, kw_only=True)
class Promoted:
    """A version is in its environment; ``previous`` is what was there before."""

    record: GateRecord
    previous: str | None


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
) -> Promoted:
    """Move ``order.version`` into ``order.environment`` and put it on record, once per ``key``.

    ``moved_by`` names the promoter: the losers of a race are told so. ``decided_by`` stands in the
    record when neither an approval nor an override names a person. ``patience`` is the seconds to
    wait for another move of the same model to end.

    :raises PromotionError: a step would be skipped, or a decision is missing.
    :raises EvidenceError: the decision is about something else, or its evidence changed.
    :raises ApprovalError: the approval is missing, a no, or of something else.
    :raises PromotionConflictError: somebody else moved the model; names who.
    :raises RegistryError: the registry refuses, or does not answer.
    """
    ledger = Ledger(promotions.store)
    if (standing := ledger.find(key)) is not None:
        return _still_there(standing, order, registry, ledger)
    _settle_abandoned(order.model_name, key, promotions, registry)
    clearance = check_order(order, ledger=ledger, registry=registry, path=path)
    if (there := _there_already(order, clearance, registry, ledger)) is not None:
        return there
    draft = _draft(order, clearance, moved_by, decided_by, origin or Origin())
    claim = Claim(model_name=order.model_name, key=key, by=moved_by, move=_as_move(order, draft))
    resumed = _claimed(claim, promotions, patience)
    try:
        _move_alias(order, clearance.expected, registry, ledger, resumed=resumed)
    except RegistryUnavailableError:
        raise  # whether the alias moved is unknown: the claim stays for the retry
    except (RegistryError, PromotionConflictError):
        promotions.release(claim)
        raise
    return Promoted(record=promotions.complete(claim, draft), previous=clearance.expected)


def _claimed(claim: Claim, promotions: Promotions, patience: float) -> bool:
    """Take the row, waiting while another move is in progress; see ``Promotions.claim``."""
    deadline = time.monotonic() + patience
    pause = 0.02
    while True:
        with suppress(PromotionConflictError):
            return promotions.claim(claim)
        if time.monotonic() + pause > deadline:
            return promotions.claim(claim)
        time.sleep(pause)
        pause = min(pause * 2, 1.0)


def _move_alias(
    order: PromotionOrder,
    expected: str | None,
    registry: ModelRegistry,
    ledger: Ledger,
    *,
    resumed: bool,
) -> None:
    name, environment, version = order.model_name, order.environment, order.version
    found = registry.aliases(name).get(environment)
    if not (resumed and found == version):  # else an earlier try of this decision moved it
        if found != expected:
            raise _conflict(order, expected, found, ledger)
        registry.set_alias(name, environment, version)
        found = registry.aliases(name).get(environment)
    if found != version:
        raise _conflict(order, version, found, ledger)


def _still_there(
    standing: GateRecord, order: PromotionOrder, registry: ModelRegistry, ledger: Ledger
) -> Promoted:
    """Return the promotion that this decision already made, if its version still holds."""
    found = registry.aliases(order.model_name).get(order.environment)
    if found != standing.evidence["to"]:
        raise _conflict(order, standing.evidence["to"], found, ledger)
    return Promoted(record=standing, previous=standing.evidence["from"])


def _there_already(
    order: PromotionOrder, clearance: Clearance, registry: ModelRegistry, ledger: Ledger
) -> Promoted | None:
    """Return the earlier promotion of this version, when nothing is left to move."""
    holder = holders(order.model_name, ledger=ledger).get(order.environment)
    if holder is None or holder["version"] != order.version or order.expected != LEDGER:
        return None
    if registry.aliases(order.model_name).get(order.environment) != order.version:
        return None
    record = ledger.get(holder["record"])
    return Promoted(record=record, previous=record.evidence["from"])


def _settle_abandoned(
    model_name: str, key: str, promotions: Promotions, registry: ModelRegistry
) -> None:
    """Finish, or drop, the move of a promoter that is gone."""
    claim = promotions.abandoned(model_name)
    if claim is None or claim.key == key:
        return
    found = registry.aliases(model_name).get(claim.move["environment"])
    if found != claim.move["version"]:
        promotions.release(claim)
        return
    try:
        promotions.complete(claim, _draft_of(claim.move["draft"]))
    except PromotionConflictError:
        return  # another promoter settled it


def _conflict(
    order: PromotionOrder, expected: str | None, found: str | None, ledger: Ledger
) -> PromotionConflictError:
    holder = holders(order.model_name, ledger=ledger).get(order.environment)
    by_us = holder is not None and holder["version"] == found
    winner = ledger.get(holder["record"]).evidence["moved_by"] if holder and by_us else None
    who = winner or "somebody outside Airflow"
    return PromotionConflictError(
        f"{order.model_name}@{order.environment} names {found or 'no version'}, "
        f"not {expected or 'none'} as expected: moved by {who}.",
        remedy="Judge against what is there now"
        + ("." if by_us else ", or pass expected to take over what was moved by hand."),
        winner=who,
        expected=expected,
        found=found,
    )


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


def _as_move(order: PromotionOrder, draft: GateDraft) -> dict[str, Any]:
    return {
        "environment": order.environment,
        "version": order.version,
        "draft": plain(asdict(draft)),
    }


def _draft_of(move: Mapping[str, Any]) -> GateDraft:
    return GateDraft(
        kind=GateKind(move["kind"]),
        subject=move["subject"],
        verdict=Verdict(move["verdict"]),
        criteria=tuple(
            Criterion(**{**criterion, "verdict": Verdict(criterion["verdict"])})
            for criterion in move["criteria"]
        ),
        evidence=move["evidence"],
        decided_by=move["decided_by"],
        origin=Origin(**move["origin"]),
    )
