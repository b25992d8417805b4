"""What the DAGs call: the digits' training code, on ones and sevens alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from handwritten_digits import pipeline

CANDIDATES = ("logistic",)


def train_pilot(candidate: str, *, gates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Train on seven tenths of the ones and sevens, judge on the rest."""
    return pipeline.train_pilot(candidate, gates=gates, model_name="one_or_seven", only=(1, 7))
