"""The model card: what a person must know of a version before relying on it.

Purpose, data, metrics, slices, limits, ethics and approvals come from the evidence that was judged
and from the people who answer for it. What nobody stated is shown as not stated. Here the card is a
value; ``card_text.py`` and ``card_page.py`` write it down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.gate import GateRecord, plain
from airflow_ai_provider.core.promotion.evidence import ModelEvidence, parse_evidence
from airflow_ai_provider.core.promotion.histograms import StepHistograms

_SLICED = ("slice_gap", "worst_slice", "slice_spread")


@dataclass(frozen=True, kw_only=True)
class CardTexts:
    """What only people can say."""

    purpose: str | None = None
    limits: str | None = None
    ethics: str | None = None


@dataclass(frozen=True, kw_only=True)
class Words:
    """Paragraphs as somebody wrote them; lines that begin with ``- `` are a list."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Names and values."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under column names; ``verdicts`` is one for each row where the rows are judged."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    verdicts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures by name, each with what it shows."""

    shown: tuple[tuple[str, str], ...]


Block: TypeAlias = Words | Pairs | Table | Pictures


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section; without a block nobody stated anything."""

    title: str
    block: Block | None


@dataclass(frozen=True, kw_only=True)
class CardPage:
    """The whole card."""

    title: str
    verdict: str
    sections: tuple[Section, ...]


_SHOWN = {
    "calibration": "How often the label came true against what was said; bars are 95 % intervals",
    "confusion": "How many rows of each class were read as which",
    "residuals": "How far the answers were from what was observed",
    "importance": "How much the error rises when one input is shuffled",
    "weights": "The network's weights, as training logged them",
    "gradients": "The gradients of the weights, as training logged them",
}


def card_page(
    verdict: Mapping[str, Any],
    *,
    texts: CardTexts,
    approvals: Sequence[GateRecord] = (),
    pictures: Sequence[str] = (),
    histograms: Sequence[StepHistograms] = (),
) -> CardPage:
    """Return the card of what a model gate judged: ``verdict`` is the gate's result.

    ``pictures`` are names; ``histograms`` the first and the last step that training logged.

    :raises EvidenceError: ``verdict`` is no result of a model gate.
    """
    if not isinstance(verdict, Mapping) or not isinstance(verdict.get("criteria"), list):
        raise EvidenceError(
            "A model card is made of a model gate's result.",
            remedy="Pass the output of a ModelGateOperator.",
        )
    evidence = parse_evidence(verdict.get("evidence"))
    version = f"version {evidence.version}" if evidence.version else f"run {evidence.run_id}"
    return CardPage(
        title=f"{evidence.model_name}, {version}",
        verdict=str(verdict.get("verdict") or ""),
        sections=(
            _section("Purpose", _words(texts.purpose)),
            _section("Data", _pairs(_data(evidence))),
            _section("Training", _pairs(_training(evidence, histograms))),
            _section("Metrics", _metrics(verdict.get("metrics") or {})),
            _section("Slices", _criteria(verdict, evidence, sliced=True)),
            _section("Criteria", _criteria(verdict, evidence, sliced=False)),
            *_assessments(evidence),
            _section("Costs", _pairs(_flat(evidence.costs))),
            _section("Limits", _words(texts.limits)),
            _section("Ethics", _words(texts.ethics)),
            _section("Approvals", _approvals(approvals)),
            _section("Pictures", _shown(pictures)),
            _section("Evidence", _pairs(_references(verdict, evidence))),
        ),
    )


def _section(title: str, block: Block | None) -> Section:
    return Section(title=title, block=block)


def _words(text: str | None) -> Words | None:
    said = (text or "").strip()
    return Words(text=said) if said else None


def _pairs(found: Iterator[tuple[str, str]]) -> Pairs | None:
    pairs = tuple(found)
    return Pairs(pairs=pairs) if pairs else None


def _data(evidence: ModelEvidence) -> Iterator[tuple[str, str]]:
    for title, said in (("Judged on", evidence.data), ("Trained on", evidence.training)):
        for name, value in said.items():
            yield f"{title}, {name}", words_of(value)


def _training(
    evidence: ModelEvidence, histograms: Sequence[StepHistograms]
) -> Iterator[tuple[str, str]]:
    """Yield what is needed to train it again, and what training logged of itself."""
    if evidence.candidate:
        yield "Candidate", evidence.candidate
    yield from _flat(evidence.run.get("params") or {}, "Parameter, ")
    if evidence.run.get("code_revision"):
        yield "Code revision", words_of(evidence.run["code_revision"])
    yield from _flat(evidence.content.get("environment") or {}, "Environment, ")
    if histograms:
        first, last = histograms[0], histograms[-1]
        yield "Histograms", f"{len(last.arrays)} arrays, steps {first.step:,} to {last.step:,}"
        bad = sum(array.not_finite for array in last.arrays)
        if bad:
            yield "Histograms, no numbers", f"{bad:,} values of the last step"


def _flat(values: Any, before: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(values, Mapping):
        for name, value in values.items():
            yield f"{before}{name}", words_of(value)


def _metrics(metrics: Mapping[str, Mapping[str, float]]) -> Table | None:
    sides = list(metrics)
    names = dict.fromkeys(name for side in sides for name in metrics[side])
    rows = tuple((name, *(words_of(metrics[side].get(name)) for side in sides)) for name in names)
    return Table(columns=("metric", *sides), rows=rows) if rows else None


def _criteria(verdict: Mapping[str, Any], evidence: ModelEvidence, *, sliced: bool) -> Table | None:
    """Return a row for each criterion; those on slices are told by default name or sentence."""
    chosen = [item for item in verdict["criteria"] if _on_slices(item, evidence) is sliced]
    if not chosen:
        return None
    return Table(
        columns=("criterion", "verdict", "what was found"),
        rows=tuple(
            (words_of(i.get("name")), words_of(i.get("verdict")), words_of(i.get("sentence")))
            for i in chosen
        ),
        verdicts=tuple(str(item.get("verdict")) for item in chosen),
    )


def _on_slices(item: Mapping[str, Any], evidence: ModelEvidence) -> bool:
    sentence = str(item.get("sentence"))
    named = any(f"{x}{name} " in sentence for x in (", for ", "(") for name in evidence.slices)
    return named or str(item.get("name")).endswith(_SLICED)


def _assessments(evidence: ModelEvidence) -> Iterator[Section]:
    """Yield what was said of an application's answers; a model has no such section."""
    columns = ("name", "by", "answers", "traces", "mean", "low", "high", "unusable")
    found = evidence.assessments.get("found") or ()
    rows = tuple(tuple(words_of(item.get(column)) for column in columns) for item in found)
    if evidence.assessments:
        block = Table(columns=columns, rows=rows) if rows else None
        yield Section(title="Assessments of its answers", block=block)


def _approvals(approvals: Sequence[GateRecord]) -> Table | None:
    rows = tuple(
        (
            words_of(record.decided_by),
            words_of(record.verdict),
            words_of(record.created_at),
            words_of(record.evidence.get("comment")),
            words_of(record.id),
        )
        for record in approvals
    )
    columns = ("who", "verdict", "when", "comment", "record")
    verdicts = tuple(record.verdict for record in approvals)
    return Table(columns=columns, rows=rows, verdicts=verdicts) if rows else None


def _shown(pictures: Sequence[str]) -> Pictures | None:
    shown = tuple((name, _SHOWN.get(name, name)) for name in pictures)
    return Pictures(shown=shown) if shown else None


def _references(verdict: Mapping[str, Any], evidence: ModelEvidence) -> Iterator[tuple[str, str]]:
    for title, value in (
        ("Hash", verdict.get("evidence_hash")),
        ("Gate record", verdict.get("record")),
        ("Run", evidence.run_id),
        ("Model", evidence.model_uri),
        ("Artifact digest", evidence.measured.get("artifact_digest")),
    ):
        if value:
            yield title, words_of(value)


def words_of(value: Any) -> str:
    """Return a value as text on one line."""
    value = plain(value)
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1e15
        value = f"{int(value):,}" if whole else f"{value:.4g}"
    if isinstance(value, list):
        value = ", ".join(map(words_of, value))
    if isinstance(value, dict):
        value = ", ".join(f"{name}: {words_of(item)}" for name, item in value.items())
    return " ".join(str("" if value is None else value).split())
