"""KPIs: their targets, where their values come from, and whether a value meets its target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from airflow_ai_provider.core.lifecycle.plan_parts import Figure, Line, Name, Part, Text


class GateFigure(Part):
    """What a criterion of the newest gate record observed."""

    subject: Line = Field(
        description="the gate's subject, such as mlflow://flight_delays or ai-data://flights"
    )
    criterion: Name = Field(description="the criterion's name")


class FeedbackFigure(Part):
    """The newest value of a live metric, as feedback tells it."""

    model: Name = Field(description="the registered model")
    metric: Literal["coverage", "observed", "predicted", "gap", "roc_auc", "log_loss"] = Field(
        description="coverage, observed, predicted, gap, roc_auc or log_loss"
    )


class QueryFigure(Part):
    """The one value that a query returns."""

    sql: Text = Field(description="a query that returns one row with one number")
    conn_id: Name | None = Field(
        default=None,
        description="the Airflow connection of a database; without it DuckDB reads files",
    )


class KpiMeasure(Part):
    """Where a KPI's value comes from: one of three; and the bounds that mean success."""

    gate: GateFigure | None = Field(default=None, description="subject and criterion of a gate")
    feedback: FeedbackFigure | None = Field(default=None, description="model and live metric")
    query: QueryFigure | None = Field(default=None, description="sql, and conn_id of a database")
    at_least: Figure | None = Field(default=None, description="the smallest value of success")
    at_most: Figure | None = Field(default=None, description="the largest value of success")

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that are named; a good measure names one."""
        return tuple(name for name in ("gate", "feedback", "query") if getattr(self, name))

    def meets(self, value: float) -> bool:
        """Whether ``value`` lies within the bounds."""
        low, high = self.at_least, self.at_most
        return (low is None or value >= low) and (high is None or value <= high)


class Kpi(Part):
    """A figure that says whether the project succeeds, with its target."""

    name: Name = Field(description="a short name such as late_minutes_saved")
    kind: Literal["accuracy", "adoption", "business", "cost", "operations", "quality", "risk"] = (
        Field(description="what it measures: accuracy, or what the business gets from it")
    )
    target: Line = Field(description="the value that means success, with its unit and date")
    baseline: Line | None = Field(default=None, description="the value today, if it is known")
    source: Line | None = Field(default=None, description="where the figure comes from")
    measure: KpiMeasure | None = Field(
        default=None, description="gate, feedback or query, and at_least or at_most"
    )


@dataclass(frozen=True, kw_only=True)
class KpiValue:
    """A KPI as it stands: its value, or in ``problem`` why nobody knows it."""

    name: str
    kind: str
    target: str
    value: float | None = None
    at: str | None = None
    source: str | None = None
    met: bool | None = None
    problem: str | None = None


def measure_faults(measure: KpiMeasure) -> Iterator[tuple[str, str]]:
    """Yield message and remedy of what is wrong with a measure as a whole."""
    if len(measure.sources) != 1:
        yield (
            f"The measure names {len(measure.sources)} sources.",
            "Name exactly one of gate, feedback and query.",
        )
    if measure.at_least is None and measure.at_most is None:
        yield "The measure has no bound.", "Give at_least or at_most."
    elif (
        measure.at_least is not None
        and measure.at_most is not None
        and measure.at_least > measure.at_most
    ):
        yield "The bounds contradict each other.", "Give at_least <= at_most."
