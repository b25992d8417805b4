"""What is to be moved where, and on whose word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.gate import digest

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


def read_order(**said: Any) -> PromotionOrder:
    """Return the order that templated arguments mean.

    A version may be a number; Jinja writes what is absent as an empty text or as ``None``.
    """
    override = said.pop("override") or None
    texts = {n: None if v in (None, "", "None") else str(v) for n, v in said.items()}
    return PromotionOrder(**{**texts, "override": override})  # type: ignore[arg-type]
