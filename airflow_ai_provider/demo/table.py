"""The table that the demo ends with: every gate, what it said and why."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable

from airflow_ai_provider.core.gate import GateRecord
from airflow_ai_provider.demo.airflow_home import Home
from airflow_ai_provider.demo.ledger import gate_name, reason

_PHASES = {"scoring": "production", "feedback": "production"}


def gate_table(records: Iterable[GateRecord], width: int | None = None) -> list[str]:
    """Return phase, gate, verdict and why of each record, as lines of at most ``width``."""
    width = max(width or shutil.get_terminal_size((120, 24)).columns, 80)
    rows = [(phase(r), gate_name(r), r.verdict, why(r)) for r in records]
    header = ("phase", "gate", "verdict", "why")
    sizes = [max(len(row[i]) for row in [header, *rows]) for i in range(3)]
    rest = max(width - sum(sizes) - 6, 24)
    lines = [_line(header, sizes), _line(tuple("-" * s for s in [*sizes, min(rest, 40)]), sizes)]
    for row in rows:
        first, *more = textwrap.wrap(row[3], rest) or [""]
        lines.append(_line((*row[:3], first), sizes))
        lines += [_line(("", "", "", part), sizes) for part in more]
    return lines


def phase(record: GateRecord) -> str:
    """Return the phase of the project's life in which ``record`` was written."""
    dag = record.dag_id or ""
    return _PHASES.get(dag, dag)


def why(record: GateRecord) -> str:
    """Return the reasons, or how many criteria were met."""
    told = reason(record)
    if told or not record.criteria:
        return told or f"decided by {record.decided_by}"
    met = len(record.criteria)
    return str(record.criteria[0]["sentence"]) if met == 1 else f"All {met} criteria are met."


def addresses(home: Home, *, temporary: bool) -> list[str]:
    """Return where everything is."""
    lines = [
        f"Airflow    {home.airflow_url}",
        f"MLflow     {home.mlflow_url}",
        f"passwords  {home.passwords}",
        f"report     {home.report}",
    ]
    if temporary:
        lines.append("All of it goes when the demo ends; DEMO_HOME=DIR keeps the folder.")
    return lines


def _line(cells: tuple[str, ...], sizes: list[int]) -> str:
    padded = [cell.ljust(size) for cell, size in zip(cells, sizes, strict=False)]
    return "  ".join([*padded, *cells[len(sizes) :]]).rstrip()
