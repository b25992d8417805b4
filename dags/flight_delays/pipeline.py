"""What the DAGs call: the training code with this installation's places filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.places import DATA, PLACES, records, tracking_uri
from flight_delays import model

CANDIDATES = tuple(model.CANDIDATES)
PILOT_TRAINS_ON, PILOT_JUDGED_ON = ("2013-01", "2013-02"), "2013-03"


def train_pilot(candidate: str, *, gates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Train on January and February, judge on March against the baseline."""
    return model.train(
        candidate,
        train_months=PILOT_TRAINS_ON,
        judge_month=PILOT_JUDGED_ON,
        gates=records(gates, PILOT_TRAINS_ON),
        tracking_uri=tracking_uri(),
        **PLACES,
    )


def train(
    candidate: str, *, partitions: Sequence[str], gates: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Train on whole months, to be judged later on a month that is not among them."""
    return model.train(
        candidate,
        train_months=partitions,
        gates=records(gates, partitions),
        tracking_uri=tracking_uri(),
        **PLACES,
    )


def evaluate(
    evidence: Mapping[str, Any], *, partition: str, champion: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Judge what was trained on one month, against the champion or, without one, the baseline."""
    return model.evaluate(
        evidence,
        judge_month=partition,
        champion=champion,
        tracking_uri=tracking_uri(),
        **PLACES,
    )


def score(version: str, *, partition: str) -> dict[str, Any]:
    """Score a month's flights before they leave; return where the prediction log is."""
    from flight_delays import scoring

    return scoring.score(
        version=version,
        month=partition,
        landing=PLACES["landing"],
        features=PLACES["features"],
        predictions=DATA / "predictions",
        tracking_uri=tracking_uri(),
    )


def prediction_logs(partition: str) -> list[dict[str, Any]]:
    """Return the prediction logs of a month, the one written last at the end."""
    found = (DATA / "predictions" / model.MODEL_NAME).glob(f"*/{partition}.parquet")
    return [
        {
            "path": str(path),
            "model_name": model.MODEL_NAME,
            "version": path.parent.name,
            "partition": partition,
        }
        for path in sorted(found, key=lambda path: path.stat().st_mtime)
    ]


def outcomes(partition: str) -> str:
    """Write what really happened to a month's flights as feedback; return the file's path."""
    from flight_delays import scoring

    return scoring.outcomes(
        month=partition,
        landing=PLACES["landing"],
        outcomes=DATA / "outcomes",
    )["path"]
