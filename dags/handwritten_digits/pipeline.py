"""What the DAGs call: the training code with this installation's places filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.places import PLACES, records, tracking_uri
from handwritten_digits import model

CANDIDATES = tuple(model.CANDIDATES)


def train_pilot(
    candidate: str,
    *,
    gates: Sequence[Mapping[str, Any]],
    model_name: str = model.MODEL_NAME,
    only: Sequence[int] = (),
) -> dict[str, Any]:
    """Train on seven tenths of the digits, judge on the rest; who wrote which is not known."""
    return model.train(
        candidate,
        landing=PLACES["landing"],
        evaluations=PLACES["evaluations"],
        tracking_uri=tracking_uri(),
        gates=records(gates, ("all",)),
        model_name=model_name,
        only=only,
    )
