"""What was measured, as Markdown for the people who are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_ai_provider.core.lifecycle.delivered import absent_reason
from airflow_ai_provider.core.lifecycle.milestones import Milestone

MAX_ROWS = 20
MAX_CELL = 200


def shown_measurement(definition: Milestone, measured: Mapping[str, Any] | None) -> str:
    """Return what was measured for a milestone: a heading and a list or table each."""
    parts = []
    for deliverable in definition.measured:
        value = (measured or {}).get(deliverable.name)
        reason = absent_reason(value)
        body = f"Not there: {plain_text(reason)}" if reason else _shown(value)
        parts.append(f"**{deliverable.title}** (measured)\n\n{body}")
    return "\n\n".join(parts)


def _shown(value: Any) -> str:
    if not isinstance(value, Mapping):
        return _cell(value)
    single, tables = [], []
    for key, inner in value.items():
        if key == "problems":
            continue
        if _is_table(inner):
            tables.append(_table(inner))
        else:
            single.append(f"- {plain_text(key)}: {_cell(inner)}")
    return "\n\n".join(part for part in ("\n".join(single), *tables) if part)


def _is_table(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(isinstance(row, Mapping) for row in value)
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(str(key) for row in rows for key in row))
    lines = [f"| {' | '.join(map(plain_text, names))} |", f"|{' --- |' * len(names)}"]
    lines += [
        f"| {' | '.join(_cell(row.get(name)) for name in names)} |" for row in rows[:MAX_ROWS]
    ]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or value in ({}, []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return plain_text(", ".join(f"{key} {inner}" for key, inner in value.items()))
    if isinstance(value, (list, tuple)):
        return plain_text(", ".join(str(item) for item in value))
    return plain_text(str(value))


def plain_text(text: str) -> str:
    """Return ``text`` on one line, cut, and without what Markdown or HTML would act on."""
    text = " ".join(text.split())
    text = text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return text
