"""The gate records of the run, read while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.gate import GateRecord, Verdict
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger


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
        return [f"{r.kind} gate on {r.subject}: {r.verdict}{reason(r)}" for r in new]

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
    """Return why a record says what it says, when it is no plain pass."""
    told = [c["sentence"] for c in record.criteria if c["verdict"] != Verdict.PASS]
    return f": {' '.join(told[:2])}" if told else ""
