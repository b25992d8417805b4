"""Make the model card of a judged version and put it on that version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.gate import GateKind, GateRecord
from airflow_ai_provider.core.promotion.card import CardTexts, card_markdown
from airflow_ai_provider.core.promotion.evidence import evidence_hash, parse_evidence
from airflow_ai_provider.core.promotion.metrics import NotMeasurableError
from airflow_ai_provider.core.promotion.pictures import pictures_of
from airflow_ai_provider.services.promotion.checks import read_record
from airflow_ai_provider.services.promotion.judging import read_rows
from airflow_ai_provider.store.ledger import Ledger

CARD_FILE = "card.md"


@dataclass(frozen=True, kw_only=True)
class Card:
    """A card and its pictures; ``files`` are what to write, by name."""

    model_name: str
    version: str | None
    run_id: str | None
    text: str
    pictures: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def files(self) -> dict[str, str]:
        """The card and its pictures, by file name."""
        return {CARD_FILE: self.text, **{f"{n}.svg": svg for n, svg in self.pictures.items()}}

    def write(self, folder: Path) -> None:
        """Write the files into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")


def make_card(
    verdict: Any, *, texts: CardTexts, ledger: Ledger, approvals: Sequence[str] = ()
) -> Card:
    """Return the card of what a model gate judged.

    The verdict must be the one on record, and each approval one of the same evidence.

    :raises EvidenceError: it is not, or the predictions cannot be read.
    :raises LedgerError: a record was changed after it was written.
    """
    if not isinstance(verdict, Mapping) or not verdict.get("record"):
        raise EvidenceError(
            "A model card is made of a model gate's result.",
            remedy="Pass the output of a ModelGateOperator.",
        )
    decision = read_record(ledger, str(verdict["record"]), GateKind.MODEL)
    bound = evidence_hash(verdict)
    if decision.evidence.get("evidence_hash") != bound:
        raise EvidenceError(
            f"The evidence is not what gate record {decision.id} judged.", remedy="Judge again."
        )
    found = [_approval(ledger, str(name), bound) for name in approvals]
    evidence = parse_evidence(verdict["evidence"])
    pictures: dict[str, str] = {}
    rows = read_rows(evidence)
    if rows is not None:
        importance = evidence.measured.get("importance")
        try:
            pictures = pictures_of(rows.label, rows.score, importance)
        except NotMeasurableError:
            pictures = {}  # rows without values have no picture; their criteria say so
    text = card_markdown(verdict, texts=texts, approvals=found, pictures=list(pictures))
    return Card(
        model_name=evidence.model_name,
        version=evidence.version,
        run_id=evidence.run_id,
        text=text,
        pictures=pictures,
    )


def _approval(ledger: Ledger, name: str, bound: str) -> GateRecord:
    record = read_record(ledger, name, GateKind.APPROVAL)
    if record.evidence.get("evidence_hash") != bound:
        raise EvidenceError(
            f"Approval {record.id} was given on other evidence.",
            remedy="Name the approval of what the card describes.",
        )
    return record
