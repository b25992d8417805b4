"""The model card: what a person must know of a version before relying on it, in Markdown.

Purpose, data, metrics, slices, limits, ethics and approvals come from the evidence that was judged
and from the people who answer for it. What nobody stated is shown as not stated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.errors import EvidenceError
from airflow_ai_provider.core.gate import GateRecord, plain
from airflow_ai_provider.core.promotion.evidence import parse_evidence

NOT_STATED = "Not stated."
_SLICED = ("slice_gap", "worst_slice", "slice_spread")
_LONGEST = 20_000


@dataclass(frozen=True, kw_only=True)
class CardTexts:
    """What only people can say."""

    purpose: str | None = None
    limits: str | None = None
    ethics: str | None = None


def card_markdown(
    verdict: Mapping[str, Any],
    *,
    texts: CardTexts,
    approvals: Sequence[GateRecord] = (),
    pictures: Sequence[str] = (),
) -> str:
    """Return the card of what a model gate judged: ``verdict`` is the gate's result.

    ``pictures`` are names: each is shown from ``NAME.svg`` beside the card.

    :raises EvidenceError: ``verdict`` is no result of a model gate.
    """
    if not isinstance(verdict, Mapping) or not isinstance(verdict.get("criteria"), list):
        raise EvidenceError(
            "A model card is made of a model gate's result.",
            remedy="Pass the output of a ModelGateOperator.",
        )
    evidence = parse_evidence(verdict.get("evidence"))
    version = f"version {evidence.version}" if evidence.version else f"run {evidence.run_id}"
    parts = [
        f"# {_line(evidence.model_name)}, {_line(version)}",
        _section("Purpose", texts.purpose),
        _section("Data", "\n".join(_data(evidence.data, evidence.training))),
        _section("Metrics", "\n".join(_metrics(verdict.get("metrics") or {}))),
        _section("Slices", "\n".join(_criteria(verdict, sliced=True))),
        _section("Criteria", "\n".join(_criteria(verdict, sliced=False))),
        _section("Costs", "\n".join(_pairs(evidence.costs))),
        _section("Limits", texts.limits),
        _section("Ethics", texts.ethics),
        _section("Approvals", "\n".join(_approvals(approvals))),
        _section("Pictures", "\n".join(f"![{name}]({name}.svg)" for name in pictures)),
        _section("Evidence", "\n".join(_evidence(verdict))),
    ]
    return "\n\n".join(parts)[:_LONGEST] + "\n"


def _section(title: str, text: str | None) -> str:
    return f"## {title}\n\n{(text or '').strip() or NOT_STATED}"


def _data(data: Mapping[str, Any], training: Mapping[str, Any]) -> Iterator[str]:
    for title, said in (("Judged on", data), ("Trained on", training)):
        for name, value in said.items():
            yield f"- {title}, {_line(name)}: {_line(value)}"


def _metrics(metrics: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    if not metrics:
        return
    sides = list(metrics)
    names = dict.fromkeys(name for side in sides for name in metrics[side])
    yield f"| metric | {' | '.join(map(_line, sides))} |"
    yield "|---" * (1 + len(sides)) + "|"
    for name in names:
        values = (_line(metrics[side].get(name)) for side in sides)
        yield f"| {_line(name)} | {' | '.join(values)} |"


def _criteria(verdict: Mapping[str, Any], *, sliced: bool) -> Iterator[str]:
    """Yield a line for each criterion; those on slices are told by their default names."""
    for item in verdict["criteria"]:
        name = str(item.get("name"))
        if name.endswith(_SLICED) is sliced:
            yield f"- **{_line(name)}**, {_line(item.get('verdict'))}: {_line(item['sentence'])}"


def _pairs(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        yield f"- {_line(name)}: {_line(value)}"


def _approvals(approvals: Sequence[GateRecord]) -> Iterator[str]:
    for record in approvals:
        comment = record.evidence.get("comment")
        said = f" ({_line(comment)})" if comment else ""
        yield (
            f"- {_line(record.decided_by)}, {record.verdict} on {record.created_at}{said}, "
            f"record {record.id}"
        )


def _evidence(verdict: Mapping[str, Any]) -> Iterator[str]:
    for title, name in (("Hash", "evidence_hash"), ("Gate record", "record")):
        if verdict.get(name):
            yield f"- {title}: {_line(verdict[name])}"


def _line(value: Any) -> str:
    """Return a value as text on one line, in which nothing is markup."""
    value = plain(value)
    if isinstance(value, float):
        value = f"{value:.4g}"
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    text = " ".join(str("" if value is None else value).split())
    for mark in "\\|<>[]`*":
        text = text.replace(mark, "\\" + mark)
    return text
