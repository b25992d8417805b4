"""The project file's use cases: what is judged, and when a model in production is changed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from airflow_ai_provider.core.lifecycle.plan_parts import (
    Line,
    Name,
    Part,
    Score,
    Share,
    Text,
    Who,
)


class GateCriteria(Part):
    """The criteria of a use case's model gates, in the form that the model gate takes."""

    pilot: tuple[dict[str, Any], ...] = Field(
        min_length=1, description="what a candidate must meet to leave the pilot"
    )
    production: tuple[dict[str, Any], ...] = Field(
        default=(), description="what a candidate must meet to enter production"
    )


class FeedbackPlan(Part):
    """Where the truth about a prediction comes from."""

    source: Line = Field(description="what tells afterwards whether a prediction was right")
    location: Line | None = Field(default=None, description="path or URL of the deliveries")


class UseCase(Part):
    """A use case; its name is the name of its registered model."""

    name: Name = Field(description="the name of the registered model")
    title: Line = Field(description="the question that it answers, in one line")
    value: Score = Field(description="what it is worth, 1 (little) to 5 (much)")
    feasibility: Score = Field(description="how likely it can be built, 1 to 5")
    data_source: Name = Field(description="the data source that it learns from")
    needs: tuple[Name, ...] = Field(
        default=(), description="the tools of technology.tools that it cannot do without"
    )
    pilot: bool = Field(default=False, description="true when it is tried in the pilot phase")
    metric: Name | None = Field(default=None, description="the metric it is judged by first")
    baseline: Line | None = Field(default=None, description="what it has to beat")
    criteria: GateCriteria | None = Field(
        default=None, description="the criteria of its model gates"
    )
    feedback: FeedbackPlan | None = Field(default=None, description="where the truth comes from")
    visible_to: tuple[Who, ...] | None = Field(
        default=None,
        min_length=1,
        description="who of those that may see the project may see this model; all, when left out",
    )
    limits: Text | None = Field(
        default=None, description="where its answers must not be relied on, for the model card"
    )
    ethics: Text | None = Field(
        default=None, description="whom it may harm and what was done about it, for the model card"
    )


class RollbackPolicy(Part):
    """When the version in production gives way to the one before it."""

    metric: Literal["log_loss", "brier"] = Field(
        default="log_loss", description="what the two are compared by, on the same feedback"
    )
    margin: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="how much worse the newer one may surely be"
    )
    min_feedback: Annotated[int, Field(ge=1)] = Field(
        default=100, description="predictions of both that must have an outcome"
    )
    ask: bool = Field(default=True, description="whether a person is asked first")


class RetrainPolicy(Part):
    """When a model in production is trained again; the retrain decision takes it as it is."""

    max_gap: Share = Field(description="largest |observed - predicted| that is left alone")
    max_age_days: Annotated[int, Field(ge=1)] = Field(
        description="days after which the champion's training data counts as old"
    )
    quality: dict[Line, float] | None = Field(
        default=None, description="figures (roc_auc, log_loss, mos, ...) from which on it is bad"
    )
    max_drift: Share | None = Field(default=None, description="share of columns that may drift")
    min_new_feedback: Annotated[int, Field(ge=0)] = Field(
        default=0, description="records that must come in between two retrainings"
    )
    cooldown_days: Annotated[int, Field(ge=0)] = Field(
        default=0, description="days of data between two retrainings"
    )
    gpu_hours: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="GPU hours of the project in 28 days that may be used"
    )
    rollback: RollbackPolicy | None = Field(
        default=None, description="when production goes back instead; never, when left out"
    )
