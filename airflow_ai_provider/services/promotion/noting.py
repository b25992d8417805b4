"""What the criteria were told of models in use, kept as evidence: tomorrow it will be another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from airflow_ai_provider.core.promotion.evidence import Predictions
from airflow_ai_provider.core.promotion.life import Life, LivePoint, Opinions


class NotedLife:
    """The port ``Life``, answered by another, with ``told``: every answer, in JSON's own types."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.told: dict[str, Any] = {}

    def opinions(self, model_name: str, version: str) -> Opinions:
        """Return what people think of a version's answers."""
        found = self._life.opinions(model_name, version)
        self.told["opinions"] = asdict(found)
        return found

    def live_metric(self, model_name: str, version: str, metric: str) -> LivePoint:
        """Return the newest value of a live metric."""
        found = self._life.live_metric(model_name, version, metric)
        self.told.setdefault("live_metrics", {})[metric] = asdict(found)
        return found

    def shadow(self, model_name: str, version: str, reference: str) -> Predictions:
        """Return the rows that two versions both answered and whose outcome came in."""
        found = self._life.shadow(model_name, version, reference)
        self.told["shadow"] = {
            "reference": reference,
            "rows": len(found.label),
            "digest": _digest(found),
        }
        return found

    def champion(self, model_name: str) -> str | None:
        """Return the version in the last environment."""
        found = self.told["champion"] = self._life.champion(model_name)
        return found

    def feedback(self, model_name: str, days: float) -> int:
        """Return how many records came in during the last ``days``."""
        found = self._life.feedback(model_name, days)
        self.told.setdefault("feedback", {})[f"{days:g} days"] = found
        return found

    def live_models(self, project: str | None) -> Sequence[str]:
        """Return the models that have a version in the last environment."""
        found = self._life.live_models(project)
        self.told["live_models"] = list(found)
        return found


def _digest(rows: Predictions) -> str:
    whole = hashlib.sha256()
    for column in (rows.label, rows.score, rows.reference):
        if column is not None:
            whole.update(np.ascontiguousarray(column, dtype=np.float64).tobytes())
    return whole.hexdigest()
