"""A promotion that is taken back when the endpoint does not serve it well.

History tells it as it was: the version was in its environment from the move to the way back, which
is a rollback for cause.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from airflow_ai_provider.adapters.endpoint import Answer, post_json
from airflow_ai_provider.core.errors import SmokeCheckError
from airflow_ai_provider.core.gate import GateDraft, GateKind, GateRecord, Origin, Verdict
from airflow_ai_provider.core.promotion.evidence import version_subject
from airflow_ai_provider.core.promotion.registry import ModelRegistry
from airflow_ai_provider.core.promotion.smoke import SmokeCheck, other_version, trouble_with
from airflow_ai_provider.services.promotion.moving import (
    ROLLED_BACK,
    Move,
    Moved,
    finish_claim,
    make_move,
)
from airflow_ai_provider.services.promotion.orders import PromotionOrder
from airflow_ai_provider.services.promotion.promoting import promote
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Promotions

Ask = Callable[..., Answer]
_PAUSE = 1.0
_BUSY = {0, 408, 425, 429, 500, 502, 503, 504}


def promote_checked(
    order: PromotionOrder,
    check: SmokeCheck,
    *,
    promotions: Promotions,
    registry: ModelRegistry,
    key: str,
    moved_by: str,
    decided_by: str = "promote",
    origin: Origin | None = None,
    ask: Ask = post_json,
    patience: float = 30.0,
) -> Moved:
    """Do as ``promote``, then let the endpoint answer; a move that fails there is taken back.

    A version that was in its environment before this task is never taken back: it was not moved.

    :raises SmokeCheckError: the endpoint does not serve the version well; says what was done.
    """
    ledger, back_key = Ledger(promotions.store), f"{key}:back"
    how: dict[str, Any] = {
        "promotions": promotions,
        "registry": registry,
        "moved_by": moved_by,
        "patience": patience,
    }
    claim = promotions.claimed(order.model_name)
    if claim is not None and claim.key == back_key:  # an earlier try died on the way back
        finish_claim(claim, promotions=promotions, registry=registry, patience=patience)
    if (back := ledger.find(back_key)) is not None:
        raise _failed(order, back.evidence["reason"], back)
    moved = promote(order, key=key, decided_by=decided_by, origin=origin, **how)
    trouble = smoke(check, order.version, ask=ask)
    if trouble is None:
        return moved
    if moved.record.evidence["moved_by"] != moved_by:
        raise _failed(order, trouble, None)
    move = _way_back(order, moved, trouble, moved_by, decided_by, origin or Origin())
    raise _failed(order, trouble, make_move(move, key=back_key, **how).record)


def smoke(check: SmokeCheck, version: str, *, ask: Ask = post_json) -> str | None:
    """Return what is wrong with the endpoint; None when it answers as it must."""
    deadline = time.monotonic() + check.patience
    while True:
        answer = ask(check.url, check.inputs, headers=check.headers, timeout=check.timeout)
        trouble = answer.trouble
        if trouble is None and answer.status != 200:
            trouble = f"it answers {answer.status}"
        wait = answer.status in _BUSY
        if trouble is None:
            trouble = other_version(check, answer.document, version)
            wait = trouble is not None  # it may be loading the new one
            trouble = trouble or trouble_with(check, answer.document)
        if trouble is None:
            return None
        if not wait or time.monotonic() + _PAUSE > deadline:
            return trouble
        time.sleep(_PAUSE)


def _way_back(
    order: PromotionOrder,
    moved: Moved,
    trouble: str,
    moved_by: str,
    decided_by: str,
    origin: Origin,
) -> Move:
    """Return the move to what was there before, whatever stands against that: it was there."""
    reason = f"smoke check of the endpoint: {trouble}"
    draft = GateDraft(
        kind=GateKind.ROLLBACK,
        subject=version_subject(order.model_name, moved.previous or order.version),
        verdict=Verdict.PASS,
        evidence={
            "model_name": order.model_name,
            "environment": order.environment,
            "from": order.version,
            "to": moved.previous,
            "target": "previous",
            "for_cause": True,
            "reason": reason,
            "promotion": moved.record.id,
            "moved_by": moved_by,
            "why": f"Back from version {order.version}: {reason}.",
            "project": order.project,
        },
        decided_by=decided_by,
        origin=origin,
    )
    return Move(
        model_name=order.model_name,
        environment=order.environment,
        version=moved.previous,
        expected=order.version,
        draft=draft,
        left_as=ROLLED_BACK,
    )


def _failed(order: PromotionOrder, trouble: str, back: GateRecord | None) -> SmokeCheckError:
    where = f"{order.model_name}@{order.environment}"
    if back is None:
        done = "it was there before this task, and stays."
    elif back.evidence["to"] is None:
        done = "the move was taken back, and nothing is there now."
    else:
        done = f"the move was taken back to version {back.evidence['to']}."
    return SmokeCheckError(
        f"The endpoint of {where} does not serve version {order.version} well: {trouble}; {done}",
        remedy="Look at the endpoint; a new decision may promote the version again.",
        record=back.id if back else None,
    )
