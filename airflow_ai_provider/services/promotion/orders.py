"""What is to be moved where, and on whose word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.gate import digest
from airflow_ai_provider.core.promotion.rollback import PREVIOUS

LEDGER = "ledger"  # an alias is expected to be where the ledger put it


@dataclass(frozen=True, kw_only=True)
class PromotionOrder:
    """What is to be moved where, and on whose word.

    ``decision`` and ``approval`` are ids of gate records. ``expected`` is the version that the
    environment must hold: ``LEDGER``, a version, or None for none. ``override`` names who lets a
    step or a decision be missing, and why: ``{"by", "reason"}``.
    """

    model_name: str
    version: str
    environment: str
    decision: str | None = None
    approval: str | None = None
    evidence_hash: str | None = None
    expected: str | None = LEDGER
    override: Mapping[str, str] | None = None
    project: str | None = None

    def key(self, place: str) -> str:
        """Return the key under which the promoter at ``place`` makes this move once."""
        words = [self.decision, self.approval]
        return (
            f"promotion:{digest([place, self.model_name, self.version, self.environment, words])}"
        )


@dataclass(frozen=True, kw_only=True)
class RollbackOrder:
    """What is to be taken back, to what and why.

    ``target`` is ``PREVIOUS``, ``NEWEST_GOOD`` or a version. ``for_cause`` marks the version that
    leaves: no later way back takes it, and no promotion without a new decision. ``expected`` as in
    ``PromotionOrder``. ``override`` names who lets the target be what it should not be, and why:
    ``{"by", "reason"}``.
    """

    model_name: str
    environment: str
    target: str = PREVIOUS
    reason: str = ""
    for_cause: bool = True
    expected: str | None = LEDGER
    approval: str | None = None
    evidence_hash: str | None = None
    override: Mapping[str, str] | None = None
    project: str | None = None

    def key(self, place: str) -> str:
        """Return the key under which the task at ``place`` goes back once."""
        return f"rollback:{digest([place, self.model_name, self.environment, self.target])}"


def read_rollback(**said: Any) -> RollbackOrder:
    """Return the order that templated arguments mean; see ``read_order``."""
    override, for_cause = said.pop("override") or None, said.pop("for_cause")
    texts = {n: None if v in (None, "", "None") else str(v) for n, v in said.items()}
    texts["target"] = texts.get("target") or PREVIOUS
    texts["reason"] = texts.get("reason") or ""
    return RollbackOrder(**{**texts, "override": override, "for_cause": _truth(for_cause)})  # type: ignore[arg-type]


def _truth(value: Any) -> bool:
    """Return what a flag means; Jinja writes it as a text."""
    if isinstance(value, str):
        return value.strip().lower() not in {"", "false", "no", "0", "none"}
    return bool(value)


def read_order(**said: Any) -> PromotionOrder:
    """Return the order that templated arguments mean.

    A version may be a number; Jinja writes what is absent as an empty text or as ``None``.
    """
    override = said.pop("override") or None
    texts = {n: None if v in (None, "", "None") else str(v) for n, v in said.items()}
    return PromotionOrder(**{**texts, "override": override})  # type: ignore[arg-type]
