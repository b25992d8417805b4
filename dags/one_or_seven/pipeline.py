"""What the DAGs call: the digits' training code, on ones and sevens alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.places import PLACES, records, tracking_uri
from handwritten_digits import model

CANDIDATES = ("logistic",)


def train_pilot(candidate: str, *, gates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Train on seven tenths of the ones and sevens, judge on the rest."""
    return model.train(
        candidate,
        landing=PLACES["landing"],
        evaluations=PLACES["evaluations"],
        tracking_uri=tracking_uri(),
        gates=records(gates, ("all",)),
        model_name="one_or_seven",
        only=(1, 7),
    )
