"""What a task sees of Airflow when it is called by hand."""

from __future__ import annotations

import json
from collections import defaultdict
from types import SimpleNamespace
from typing import Any


class Events:
    """What a task told of one of its outlets."""

    def __init__(self) -> None:
        self.added: list[tuple[Any, dict[str, Any]]] = []

    def add(self, asset: Any, extra: dict[str, Any]) -> None:
        """Keep one event."""
        self.added.append((asset, extra))


class TaskInstance(SimpleNamespace):
    """A task instance that keeps what it is told, which must be JSON-safe."""

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep a value."""
        json.dumps(value)
        self.pushed[key] = value

    def xcom_pull(self, key: str, **_where: Any) -> Any:
        """Return what was kept."""
        return self.pushed.get(key)


def task_instance(
    operator: Any, *, dag_id: str = "d", run_id: str = "r", try_number: int = 1
) -> TaskInstance:
    """Return a try of ``operator``."""
    return TaskInstance(
        dag_id=dag_id,
        run_id=run_id,
        task_id=operator.task_id,
        map_index=-1,
        try_number=try_number,
        pushed={},
        task=operator,
    )


def context_of(operator: Any, *, run_id: str = "r", try_number: int = 1) -> dict[str, Any]:
    """Return the context that Airflow would hand to ``operator``."""
    ti = task_instance(operator, run_id=run_id, try_number=try_number)
    return {"ti": ti, "outlet_events": defaultdict(Events)}
