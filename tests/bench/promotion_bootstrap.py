"""Confidence intervals of a difference: CPU seconds, and how often they err.

The peer resamples rows in a plain loop and asks scikit-learn for each metric, as one would by hand.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np

from airflow_ai_provider.core.promotion.bootstrap import COMPARABLE, paired_interval
from tests.bench.report import figure

ROWS, RESAMPLES = 100_000, 2_000
_GOAL = 2.0
_PEER_RESAMPLES = 4


def measure(rows: int = ROWS, resamples: int = RESAMPLES) -> Iterator[dict[str, Any]]:
    """Yield what an interval of each metric costs, by rows and by whole days."""
    random = np.random.default_rng(0)
    label = random.integers(0, 2, rows)
    one, two = (
        np.clip(label * gain + random.random(rows) * (1 - gain), 0, 1) for gain in (0.3, 0.2)
    )
    asked = {"label": label, "candidate": one, "reference": two, "resamples": resamples}
    days = random.integers(0, 365, rows)
    for metric in COMPARABLE:
        peer = _peer(metric, label, one, two) * resamples
        for unit, group in (("rows", None), ("365 days", days)):
            spent = []
            for _ in range(3):
                began = time.process_time()
                paired_interval(metric, **asked, group=group)
                spent.append(time.process_time() - began)
            ours = median(spent)
            yield figure(
                f"interval of {metric}, {rows:,} rows, {resamples:,} resamples of {unit}",
                ours,
                "CPU s",
                _GOAL,
                peer=f"a loop over scikit-learn: {peer:.0f} CPU s",
                ratio=peer / ours,
            )
    yield from errors()


def errors() -> Iterator[dict[str, Any]]:
    """Yield how often noise passes and how often a true gain does."""
    for name, rows, rates, pairs, goal, at_least in (
        ("noise that passes, of 1,000 pairs", 1000, (0.8, 0.8), 1000, 5.0, False),
        ("gains of 1 point on 20,000 rows that pass", 20_000, (0.81, 0.8), 100, 90.0, True),
    ):
        random, passed = np.random.default_rng(1), 0
        for seed in range(pairs):
            label = random.integers(0, 2, rows)
            luck = random.random(rows)
            one, two = (
                np.where(
                    np.where(random.random(rows) < 0.8, luck, random.random(rows)) < rate,
                    label,
                    1 - label,
                )
                for rate in rates
            )
            found = paired_interval(
                "accuracy", label=label, candidate=one, reference=two, seed=seed
            )
            passed += found.low > 0
        yield figure(name, 100 * passed / pairs, "%", goal, at_least=at_least)


def _peer(metric: str, label: Any, one: Any, two: Any) -> float:
    """Return the CPU seconds of one resample."""
    from sklearn import metrics

    def accuracy(label: Any, score: Any) -> Any:
        return metrics.accuracy_score(label, score >= 0.5)

    call = {
        "accuracy": accuracy,
        "average_precision": metrics.average_precision_score,
        "brier": metrics.brier_score_loss,
        "log_loss": metrics.log_loss,
        "mae": metrics.mean_absolute_error,
        "mse": metrics.mean_squared_error,
        "roc_auc": metrics.roc_auc_score,
    }[metric]
    random, spent = np.random.default_rng(0), []
    for _ in range(_PEER_RESAMPLES):
        began = time.process_time()
        drawn = random.integers(0, len(label), len(label))
        call(label[drawn], one[drawn]) - call(label[drawn], two[drawn])
        spent.append(time.process_time() - began)
    return median(spent)
