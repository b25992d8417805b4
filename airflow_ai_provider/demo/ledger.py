"""The gate records of the run, read while it goes on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.gate import GateKind, GateRecord, Verdict
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger

_ID = re.compile(r"\b[0-9a-f]{32}\b")


class Gates:
    """What the gates decided so far; before the first one there is no store, and nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store: Store | None = None
        self._told = 0

    def records(self) -> list[GateRecord]:
        """Return every gate record, oldest first."""
        if self._store is None:
            if not self._path.exists():
                return []
            self._store = Store.open(f"sqlite:///{self._path}", create=False)
        return Ledger(self._store).search()

    def store(self) -> Store | None:
        """Return the open store once there is one."""
        self.records()
        return self._store

    def news(self) -> list[str]:
        """Return a sentence for each record that was not told yet."""
        records = self.records()
        new, self._told = records[self._told :], len(records)
        return [
            f"{gate_name(r)}: {r.verdict}{f' ({told})' if (told := reason(r)) else ''}" for r in new
        ]

    def refused(self, task: Mapping[str, Any]) -> bool:
        """Whether the failed ``task`` (as Airflow's API gives it) is a gate that said no."""
        place = (task["dag_id"], task["dag_run_id"], task["task_id"], task["map_index"])
        return any(
            (r.dag_id, r.run_id, r.task_id, r.map_index) == place and r.verdict == Verdict.FAIL
            for r in self.records()
        )

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()


def reason(record: GateRecord) -> str:
    """Return why a record says what it says: as its gate summed it up, else what spoke against."""
    said = record.evidence.get("summary") or record.evidence.get("why")
    if not said:
        told = [str(c["sentence"]) for c in record.criteria if c["verdict"] != Verdict.PASS]
        said = " ".join(told[:2]) + (f" And {len(told) - 2} more." if len(told) > 2 else "")
    return _shorter(str(said))


def gate_name(record: GateRecord) -> str:
    """Return what was decided on, short enough for a line."""
    evidence = record.evidence
    name = f"{record.kind} {_shorter(record.subject)}"
    if record.kind in {GateKind.PROMOTION, GateKind.ROLLBACK} and "environment" in evidence:
        return f"{name} to {evidence['environment']}"
    if record.kind == GateKind.RETRAIN:
        return f"{name} after {evidence.get('partition')}"
    if record.kind == GateKind.MODEL and isinstance(evidence.get("data"), Mapping):
        return f"{name} on {evidence['data'].get('name')}"
    return name


def _shorter(text: str) -> str:
    return _ID.sub(lambda found: found[0][:8], text)
