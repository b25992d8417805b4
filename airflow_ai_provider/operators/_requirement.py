"""What is required of a data set's newest gate record, for who demands it and who waits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUIRED = ("dataset", "partition", "verdict", "max_age", "min_score", "gates")


class GateRequirement(BaseOperator):
    """Keeps the requirement; what happens when it is not met is the subclass's."""

    def __init__(
        self,
        *,
        dataset: str,
        partition: str | None = None,
        verdict: str = "warn",
        max_age: float | str | timedelta | None = None,
        min_score: float | str | None = None,
        gates: str | Sequence[str] = "data",
        store_conn_id: str = "ai_store_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.partition = partition
        self.verdict = verdict
        self.max_age = max_age
        self.min_score = min_score
        self.gates = gates
        self.store_conn_id = store_conn_id

    def required(self) -> dict[str, Any]:
        """Return the requirement by name, fit for JSON: ``max_age`` in seconds."""
        asked = {name: getattr(self, name) for name in REQUIRED}
        if isinstance(self.max_age, timedelta):  # a trigger keeps it as JSON
            asked["max_age"] = self.max_age.total_seconds()
        return asked
