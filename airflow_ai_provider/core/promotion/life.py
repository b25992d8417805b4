"""The port to what the store knows of a model in use: feedback, opinions, live versions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from airflow_ai_provider.core.promotion.evidence import Predictions

_FEW = (12.706, 4.303, 3.182, 2.776, 2.571)  # for which the series is not exact enough


@dataclass(frozen=True, kw_only=True)
class Opinions:
    """The mean opinion score of a version: people's scores from 1 to 5, each person's last word."""

    answers: int
    mean: float
    deviation: float

    @property
    def margin(self) -> float:
        """Half the width of the 95 % interval of the mean; infinite with fewer than two answers."""
        if self.answers < 2:
            return math.inf
        return _student(self.answers - 1) * self.deviation / math.sqrt(self.answers)


@dataclass(frozen=True, kw_only=True)
class LivePoint:
    """A live metric of a version in one partition, on so many rows."""

    value: float
    rows: int
    partition: str


def _student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's distribution: Abramowitz and Stegun 26.7.5.

    Of five answers an interval of the normal distribution would be a third too narrow.
    """
    if freedom <= len(_FEW):
        return _FEW[freedom - 1]
    z, v = 1.959964, float(freedom)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


class Life(Protocol):
    """What is known of models in use.

    Every method raises ``NotMeasurableError`` with the reason where it cannot tell.
    """

    def opinions(self, model_name: str, version: str) -> Opinions:
        """Return what people think of a version's answers."""

    def live_metric(self, model_name: str, version: str, metric: str) -> LivePoint:
        """Return the newest value of a live metric."""

    def shadow(self, model_name: str, version: str, reference: str) -> Predictions:
        """Return the rows that two versions both answered and whose outcome came in."""

    def champion(self, model_name: str) -> str | None:
        """Return the version in the last environment; None when there is none yet."""

    def feedback(self, model_name: str, days: float) -> int:
        """Return how many records of feedback on a model were observed in the last ``days``."""

    def live_models(self, project: str | None) -> Sequence[str]:
        """Return the models that have a version in the last environment, of one project if said."""
