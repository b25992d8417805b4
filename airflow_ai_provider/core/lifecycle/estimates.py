"""Three-point estimates: what a length is expected to be, and how sure that is.

The distribution is the beta of PERT (Malcolm, Roseboom, Clark and Fazar, 1959) in the form that
Vose (2008) writes down: between best and worst, most likely at ``likely``, with the mean
``(best + 4 likely + worst) / 6``.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_ai_provider.core.errors import LifecycleError


@dataclass(frozen=True, kw_only=True)
class ThreePoint:
    """Best, likely and worst length in working days.

    :raises LifecycleError: it runs backwards.
    """

    best: float
    likely: float
    worst: float

    def __post_init__(self) -> None:
        if not 0 <= self.best <= self.likely <= self.worst < float("inf"):
            raise LifecycleError(
                f"The estimate {self.best:g}, {self.likely:g}, {self.worst:g} runs backwards.",
                remedy="Say best <= likely <= worst.",
            )

    @property
    def expected(self) -> float:
        """The mean."""
        return (self.best + 4 * self.likely + self.worst) / 6

    @property
    def deviation(self) -> float:
        """The rule of thumb for the standard deviation: a sixth of the range."""
        return (self.worst - self.best) / 6

    @property
    def shape(self) -> tuple[float, float]:
        """The two parameters of the beta distribution; of an estimate with a range."""
        width = self.worst - self.best
        return (
            1 + 4 * (self.likely - self.best) / width,
            1 + 4 * (self.worst - self.likely) / width,
        )
