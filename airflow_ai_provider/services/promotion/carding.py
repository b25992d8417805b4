"""Make the model card of a judged version and put it on that version."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.gate import GateKind, GateRecord
from airflow_ai_provider.core.promotion.card import CardTexts, card_page
from airflow_ai_provider.core.promotion.card_page import card_html
from airflow_ai_provider.core.promotion.card_text import card_markdown
from airflow_ai_provider.core.promotion.evidence import (
    ModelEvidence,
    evidence_hash,
    parse_evidence,
)
from airflow_ai_provider.core.promotion.histogram_pictures import histogram_pictures
from airflow_ai_provider.core.promotion.histograms import StepHistograms
from airflow_ai_provider.core.promotion.metrics import NotMeasurableError
from airflow_ai_provider.core.promotion.pictures import pictures_of
from airflow_ai_provider.services.promotion.checks import read_record
from airflow_ai_provider.services.promotion.judging import read_rows
from airflow_ai_provider.store.ledger import Ledger

CARD_FILE, PAGE_FILE = "card.md", "card.html"
Histograms = Callable[[str], Sequence[StepHistograms]]


@dataclass(frozen=True, kw_only=True)
class Card:
    """A card as Markdown and as a page of its own, and its pictures as files beside them."""

    model_name: str
    version: str | None
    run_id: str | None
    text: str
    page: str
    pictures: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def files(self) -> dict[str, str]:
        """The card and its pictures, by file name."""
        drawn = {f"{name}.svg": svg for name, svg in self.pictures.items()}
        return {CARD_FILE: self.text, PAGE_FILE: self.page, **drawn}

    def write(self, folder: Path) -> None:
        """Write the files into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")


def make_card(
    verdict: Any,
    *,
    texts: CardTexts,
    ledger: Ledger,
    approvals: Sequence[str] = (),
    histograms: Histograms | None = None,
) -> Card:
    """Return the card of what a model gate judged.

    The verdict must be the one on record, and each approval one of the same evidence.
    ``histograms`` returns the first and the last step that a run logged of its weights and
    gradients; nothing where it logged none.

    :raises EvidenceError: it is not, or the predictions or histograms cannot be read.
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
    logged = list(histograms(evidence.run_id)) if histograms and evidence.run_id else []
    pictures = _pictures(evidence, logged)
    page = card_page(
        verdict, texts=texts, approvals=found, pictures=list(pictures), histograms=logged
    )
    return Card(
        model_name=evidence.model_name,
        version=evidence.version,
        run_id=evidence.run_id,
        text=card_markdown(page),
        page=card_html(page, pictures),
        pictures=pictures,
    )


def _pictures(evidence: ModelEvidence, logged: Sequence[StepHistograms]) -> dict[str, str]:
    found: dict[str, str] = {}
    rows = read_rows(evidence)
    if rows is not None:
        importance = evidence.measured.get("importance")
        with suppress(NotMeasurableError):  # rows without values have no picture
            found = pictures_of(rows.label, rows.score, importance)
    if logged:
        found |= histogram_pictures(logged[0], logged[-1])
    return found


def _approval(ledger: Ledger, name: str, bound: str) -> GateRecord:
    record = read_record(ledger, name, GateKind.APPROVAL)
    if record.evidence.get("evidence_hash") != bound:
        raise EvidenceError(
            f"Approval {record.id} was given on other evidence.",
            remedy="Name the approval of what the card describes.",
        )
    return record
