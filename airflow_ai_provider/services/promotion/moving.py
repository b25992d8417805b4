"""Move an alias, guarded: the part that every promotion and every way back goes through.

1. The model's guarded row is claimed, with everything that the move will write.
2. The alias must still name what is expected; it is moved and read back.
3. Both versions get their tags.
4. The claim falls and the ledger record is written, in one transaction.

A mover that dies after 1 leaves its claim: its own retry goes on where it was; anybody else is
refused until the claim is old, then finishes it when the alias was moved, or drops it when not.
MLflow has no compare-and-set: whoever moves aliases by hand between two of our requests is noticed
by the reading back, or by ``watch_aliases``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
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
from airflow_ai_provider.core.promotion.registry import ModelRegistry
from airflow_ai_provider.services.promotion.conflicts import refused, reported
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Claim, Promotions

TAG = "airflow_ai."  # with the environment's name: what a version is, or was, there
LIVE, PAST, ROLLED_BACK = "live", "past", "rolled back"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Move:
    """A move that nothing stands against: what is done and what is written.

    ``version`` None takes the alias away. ``left_as`` is the tag of the version that leaves.
    """

    model_name: str
    environment: str
    version: str | None
    expected: str | None
    draft: GateDraft
    left_as: str = PAST

    def claim(self, key: str, by: str) -> Claim:
        """Return the claim on the model's row, from which anybody can finish this move."""
        move = {
            "environment": self.environment,
            "version": self.version,
            "expected": self.expected,
            "left_as": self.left_as,
            "draft": plain(asdict(self.draft)),
        }
        return Claim(model_name=self.model_name, key=key, by=by, move=move)


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A version is in its environment; ``previous`` is what was there before.

    ``is_new`` is false for what an earlier call did.
    """

    record: GateRecord
    previous: str | None
    is_new: bool = field(default=True, compare=False)

    @property
    def version(self) -> str | None:
        """The version that the environment holds now."""
        found: str | None = self.record.evidence["to"]
        return found


def make_move(
    move: Move,
    *,
    promotions: Promotions,
    registry: ModelRegistry,
    key: str,
    moved_by: str,
    patience: float,
) -> Moved:
    """Do ``move``, once per ``key``; see the module for its steps.

    :raises PromotionConflictError: somebody else moved the model; names who.
    :raises RegistryError: the registry refuses, or does not answer.
    """
    ledger = Ledger(promotions.store)
    claim = move.claim(key, moved_by)
    resumed = take_claim(claim, promotions, patience)
    if (standing := ledger.find(key)) is not None:  # another try of this task was faster
        promotions.release(claim)
        return _as_done(standing)
    try:
        _move_alias(move, claim, promotions, registry, ledger, resumed=resumed)
    except RegistryUnavailableError:
        raise  # whether the alias moved is unknown: the claim stays for the retry
    except PromotionConflictError as error:
        promotions.release(claim)
        told = reported(error, move.model_name, move.environment, ledger=ledger, registry=registry)
        if told is error:
            raise
        raise told from error
    except RegistryError:
        promotions.release(claim)
        raise
    _set_tags(move, registry)
    record = promotions.complete(claim, move.draft)
    return Moved(record=record, previous=record.evidence["from"])


def begin(
    key: str, *, model_name: str, environment: str, promotions: Promotions, registry: ModelRegistry
) -> Moved | None:
    """Return the move that this decision already made, if its version still holds.

    Where it made none, the move of another mover that is gone is finished, or dropped.

    :raises PromotionConflictError: it was made, and another version is there now.
    """
    ledger = Ledger(promotions.store)
    standing = ledger.find(key)
    if standing is None:
        _settle_abandoned(model_name, key, promotions, registry)
        return None
    found = registry.aliases(model_name).get(environment)
    if found != standing.evidence["to"]:
        held = standing.evidence["to"]
        error = refused(model_name, environment, held, found, ledger)
        raise reported(error, model_name, environment, ledger=ledger, registry=registry)
    return _as_done(standing)


def _settle_abandoned(
    model_name: str, key: str, promotions: Promotions, registry: ModelRegistry
) -> None:
    claim = promotions.abandoned(model_name)
    if claim is None or claim.key == key:
        return
    move = _move_of(claim)
    if registry.aliases(model_name).get(move.environment) != move.version:
        promotions.release(claim)
        return
    _set_tags(move, registry)
    with suppress(PromotionConflictError):  # another promoter settled it
        promotions.complete(claim, move.draft)


def finish_claim(
    claim: Claim, *, promotions: Promotions, registry: ModelRegistry, patience: float
) -> Moved:
    """Go on with the move that this task claimed in an earlier try."""
    return make_move(
        _move_of(claim),
        promotions=promotions,
        registry=registry,
        key=claim.key,
        moved_by=claim.by,
        patience=patience,
    )


def take_claim(claim: Claim, promotions: Promotions, patience: float) -> bool:
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
    move: Move,
    claim: Claim,
    promotions: Promotions,
    registry: ModelRegistry,
    ledger: Ledger,
    *,
    resumed: bool,
) -> None:
    name, environment, version = move.model_name, move.environment, move.version
    found = registry.aliases(name).get(environment)
    if resumed and found == version:
        return  # an earlier try of this decision moved it
    if found != move.expected:
        raise refused(name, environment, move.expected, found, ledger, own_key=claim.key)
    if found != version:
        promotions.renew(claim)  # a mover that was taken for dead meanwhile stops here
        if version is None:
            registry.delete_alias(name, environment)
        else:
            registry.set_alias(name, environment, version)
        found = registry.aliases(name).get(environment)
    if found != version:
        raise refused(name, environment, version, found, ledger, own_key=claim.key)


def _set_tags(move: Move, registry: ModelRegistry) -> None:
    """Say on both versions what they are in this environment; the ledger stays the authority."""
    tag = f"{TAG}{move.environment}"
    wanted = ((move.expected, move.left_as), (move.version, LIVE))
    for version, value in wanted:
        if version is None or (version == move.version and value != LIVE):
            continue
        try:
            registry.set_tags(move.model_name, version, {tag: value})
        except RegistryUnavailableError:
            raise  # the claim stays for the retry
        except RegistryError as error:  # deleted, or this user may not tag: the move stands
            log.warning("Version %s of %s gets no tag: %s", version, move.model_name, error)


def _as_done(standing: GateRecord) -> Moved:
    return Moved(record=standing, previous=standing.evidence["from"], is_new=False)


def _move_of(claim: Claim) -> Move:
    said = claim.move
    return Move(
        model_name=claim.model_name,
        environment=said["environment"],
        version=said["version"],
        expected=said.get("expected"),
        left_as=said.get("left_as", PAST),
        draft=_draft_of(said["draft"]),
    )


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
