"""The guarded row of each model: whose move is in progress; and of each copy that is made.

A promoter claims the row, moves the alias in the registry, and completes: the claim falls and the
ledger record is written in one transaction. The claim keeps what the move will write, so that
whoever finds it abandoned can finish it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.errors import PromotionConflictError
from airflow_ai_provider.core.gate import GateDraft, GateRecord
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.model_places import keep_place
from airflow_ai_provider.store.schema import promotion_state
from airflow_ai_provider.store.upsert import dialect_insert

CLAIM_LIMIT = timedelta(seconds=90)  # the three registry calls of one move end well within
_LONGEST_NAME = 250


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A move in progress."""

    model_name: str
    key: str
    by: str
    move: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "by", self.by[:_LONGEST_NAME])  # a task's full name may be longer


class Promotions:
    """The moves in progress in a store."""

    def __init__(self, store: Store, *, claim_limit: timedelta = CLAIM_LIMIT) -> None:
        self.store = store
        self.claim_limit = claim_limit

    def claim(self, claim: Claim) -> bool:
        """Take the model's row for ``claim`` and return whether the same key held it already.

        :raises PromotionConflictError: another move is in progress; names who makes it.
        """
        row = promotion_state.c
        with self.store.write() as connection:
            now = self.store.utcnow(connection)
            _lock_row(connection, claim.model_name)
            for mine in (True, False):
                taken = connection.execute(
                    promotion_state.update()
                    .where(
                        row.model_name == claim.model_name,
                        row.claim_key == claim.key if mine else row.claim_key.is_(None),
                    )
                    .values(
                        claim_key=claim.key,
                        claimed_by=claim.by,
                        claimed_at=now,
                        move=dict(claim.move),
                    )
                    .returning(row.revision)
                ).first()
                if taken is not None:
                    return mine
            standing = _standing(connection, claim.model_name)
        raise PromotionConflictError(
            f"{standing.by} is moving {claim.model_name} right now: version "
            f"{standing.move.get('version')} to {standing.move.get('environment')}.",
            remedy="Try again when it is done.",
            in_progress=True,
            winner=standing.by,
            version=standing.move.get("version"),
            environment=standing.move.get("environment"),
        )

    def claimed(self, model_name: str) -> Claim | None:
        """Return the claim on the model; None when nobody moves it."""
        with self.store.read() as connection:
            found = connection.execute(
                sa.select(promotion_state.c.claim_key).where(
                    promotion_state.c.model_name == model_name,
                    promotion_state.c.claim_key.is_not(None),
                )
            ).first()
            return _standing(connection, model_name) if found else None

    def abandoned(self, model_name: str) -> Claim | None:
        """Return the claim on the model that is older than the limit: its maker is gone."""
        row = promotion_state.c
        with self.store.read() as connection:
            found = connection.execute(
                sa.select(row.claimed_at).where(
                    row.model_name == model_name, row.claim_key.is_not(None)
                )
            ).first()
            if (
                found is None
                or found.claimed_at >= self.store.utcnow(connection) - self.claim_limit
            ):
                return None
            return _standing(connection, model_name)

    def renew(self, claim: Claim) -> None:
        """Make the claim young again.

        :raises PromotionConflictError: it fell: another promoter took this one for dead.
        """
        row = promotion_state.c
        with self.store.write() as connection:
            renewed = connection.execute(
                promotion_state.update()
                .where(*_is(claim))
                .values(claimed_at=self.store.utcnow(connection))
                .returning(row.revision)
            ).first()
            if renewed is None:
                raise _taken_over(connection, claim)

    def complete(self, claim: Claim, draft: GateDraft) -> GateRecord:
        """Let the claim fall and write ``draft`` to the ledger, both or neither.

        A move that somebody finished already, another try of the same task or who found the claim
        abandoned, is returned as it was recorded.

        :raises PromotionConflictError: the claim is no longer there, and nothing is on record.
        """
        ledger = Ledger(self.store)
        with self.store.write() as connection:
            if _fall(connection, claim, finished=True):
                record = ledger.append_in(connection, draft, key=claim.key)
                keep_place(connection, claim.model_name, record)
                return record
            if (standing := ledger.find_in(connection, claim.key)) is not None:
                return standing
            raise _taken_over(connection, claim)

    def release(self, claim: Claim) -> None:
        """Let the claim fall; nothing was moved. Nothing happens when it fell already."""
        with self.store.write() as connection:
            _fall(connection, claim, finished=False)


def _is(claim: Claim) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the condition that the row is this claim's: not one of a later try's."""
    row = promotion_state.c
    return (
        row.model_name == claim.model_name,
        row.claim_key == claim.key,
        row.claimed_by == claim.by,
    )


def _standing(connection: sa.Connection, model_name: str) -> Claim:
    found = connection.execute(
        sa.select(promotion_state).where(promotion_state.c.model_name == model_name)
    ).one()
    return Claim(
        model_name=model_name,
        key=found.claim_key or "",
        by=found.claimed_by or "",
        move=found.move or {},
    )


def _taken_over(connection: sa.Connection, claim: Claim) -> PromotionConflictError:
    standing = _standing(connection, claim.model_name)
    return PromotionConflictError(
        f"The move of {claim.model_name} by {claim.by} was taken over meanwhile"
        + (f" by {standing.by}." if standing.by else "."),
        remedy="Look at the history, then judge again.",
        winner=standing.by or None,
    )


def _lock_row(connection: sa.Connection, model_name: str) -> None:
    """Make the model's row, and let no other promoter change it until this transaction ends."""
    connection.execute(
        dialect_insert(connection, promotion_state)
        .values(model_name=model_name, revision=0)
        .on_conflict_do_nothing(index_elements=["model_name"])
    )
    row = promotion_state.c
    connection.execute(
        sa.select(row.revision).where(row.model_name == model_name).with_for_update()
    )


def _fall(connection: sa.Connection, claim: Claim, *, finished: bool) -> bool:
    row = promotion_state.c
    fallen = connection.execute(
        promotion_state.update()
        .where(*_is(claim))
        .values(
            revision=row.revision + (1 if finished else 0),
            claim_key=None,
            claimed_by=None,
            claimed_at=None,
            move=sa.null(),
        )
        .returning(row.revision)
    ).first()
    return fallen is not None
