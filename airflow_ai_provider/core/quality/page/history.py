"""How the gates of a data set decided over time: a list, and a line small enough for a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_ai_provider.core.gate import GateRecord

_WIDTH, _HEIGHT, _EDGE = 150.0, 26.0, 4.0
_DOTS = 30


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One earlier decision, as a list shows it."""

    record: str
    kind: str
    subject: str
    verdict: str
    at: str
    rows: int | None
    met: int
    count: int
    task: str = ""

    @property
    def score(self) -> float:
        """The share of criteria met; 1 of none."""
        return self.met / self.count if self.count else 1.0

    @property
    def part(self) -> str:
        """Which part of its data set it is about; of a file or a table the end of its address."""
        _, _, part = self.subject.removeprefix("ai-data://").partition("/")
        if self.subject.startswith("ai-data://"):
            return part or "all"
        return self.subject.rstrip("/").rpartition("/")[2] or self.subject


def decision_of(record: GateRecord) -> Decision:
    """Return what a list shows of ``record``."""
    data = record.evidence.get("data")
    rows = data.get("rows") if isinstance(data, dict) else None
    return Decision(
        record=record.id,
        kind=record.kind,
        subject=record.subject,
        verdict=record.verdict,
        at=record.created_at,
        rows=rows if isinstance(rows, int) else None,
        met=sum(c.get("verdict") == "pass" for c in record.criteria),
        count=len(record.criteria),
        task=".".join(p for p in (record.dag_id, record.task_id) if p),
    )


def data_set_of(subject: str) -> str:
    """Return the data set whose part ``subject`` is; itself where it is a file or a table."""
    if not subject.startswith("ai-data://"):
        return subject
    return f"ai-data://{subject.removeprefix('ai-data://').partition('/')[0]}"


def grouped(decisions: Sequence[Decision]) -> dict[str, list[Decision]]:
    """Return the decisions by data set, in the order in which each comes first."""
    found: dict[str, list[Decision]] = {}
    for decision in decisions:
        found.setdefault(data_set_of(decision.subject), []).append(decision)
    return found


def spark(newest_first: Sequence[Decision]) -> str:
    """Return the scores as a line with a dot for each verdict, the newest at the right."""
    shown = list(reversed(newest_first[:_DOTS]))
    if not shown:
        return ""
    step = (_WIDTH - 2 * _EDGE) / max(len(shown) - 1, 1)
    left = _EDGE if len(shown) > 1 else _WIDTH / 2
    places = [
        (left + step * at, _HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * decision.score)
        for at, decision in enumerate(shown)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(
        f'<circle class="{escape(d.verdict)}" cx="{x:.1f}" cy="{y:.1f}" r="2.4">'
        f"<title>{escape(f'{d.part}: {d.verdict}, {d.met} of {d.count} met')}</title></circle>"
        for d, (x, y) in zip(shown, places, strict=True)
    )
    words = f"{len(shown)} decisions, the newest {shown[-1].verdict}"
    return (
        f'<svg class="spark" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" '
        f'aria-label="{escape(words)}"><polyline points="{line}"/>{dots}</svg>'
    )
