"""People, time, money and risk of a project file, and the words that all its parts share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,99}$")]
Line = Annotated[str, Field(min_length=1, max_length=500)]
Text = Annotated[str, Field(min_length=1, max_length=5000)]
Score = Annotated[int, Field(ge=1, le=5)]
Share = Annotated[float, Field(gt=0, le=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Figure = Annotated[float, Field(allow_inf_nan=False)]

ROLES = (
    "sponsor",
    "point_person",
    "data_scientist",
    "ml_engineer",
    "data_engineer",
    "operations",
    "project_manager",
)
PHASES = ("discovery", "pilot", "production", "maintenance")
Phase = Literal["discovery", "pilot", "production", "maintenance"]
Role = Literal[
    "sponsor",
    "point_person",
    "data_scientist",
    "ml_engineer",
    "data_engineer",
    "operations",
    "project_manager",
]
Who = Annotated[
    str, Field(pattern=rf"^({'|'.join(ROLES)}|user:[^\s:][^:]{{0,249}}|role:[^\s:][^:]{{0,249}})$")
]


class Part(BaseModel):
    """A part of the project file: no unknown field, no silent conversion, no later change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Person(Part):
    """Who fills a role: an Airflow user and, when it is known, the share of their time."""

    user: Name = Field(description="the person's user name in Airflow")
    share: Share | None = Field(default=None, description="the share of their working time, 0 to 1")

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"user": value} if isinstance(value, str) else value


class Estimate(Part):
    """A three-point estimate in working days."""

    best: Amount = Field(description="working days when all goes well")
    likely: Amount = Field(description="working days as expected")
    worst: Amount = Field(description="working days when much goes wrong")


class Milestone(Part):
    """A milestone of the project's plan."""

    name: Name = Field(description="a short name")
    phase: Phase = Field(description="the phase that it belongs to")
    owner: Role = Field(description="the role that answers for it")
    after: tuple[Name, ...] = Field(default=(), description="the milestones that come before it")
    deliverables: tuple[Line, ...] = Field(default=(), description="what it leaves behind")
    estimate: Estimate | None = Field(
        default=None, description="best, likely and worst working days"
    )
    people: dict[Role, Share] = Field(
        default_factory=dict,
        description="roles that work on it, each with the share of a working day that it takes",
    )
    coarse: bool = Field(
        default=False, description="true while it is far off and not planned in detail"
    )
    refines: Name | None = Field(
        default=None, description="the coarse milestone of an earlier plan that it is a part of"
    )


class Budget(Part):
    """The resources of one phase: at least this much, and what may be added."""

    people_days: Amount = Field(description="working days of people, at least")
    gpu_hours: Amount = Field(description="hours of one device, at least; 0 when none is needed")
    storage_gib: Amount | None = Field(default=None, description="storage in GiB, at least")
    money: Line | None = Field(
        default=None, description="money outside of working time, with currency"
    )
    surplus: Share | None = Field(default=None, description="what may be added, as a share of it")


class RiskTrigger(Part):
    """When a risk has come true, as something measured: a KPI beyond a limit."""

    kpi: Name = Field(description="the KPI that is watched; it needs a measure")
    above: Figure | None = Field(default=None, description="the value above which it has come true")
    below: Figure | None = Field(default=None, description="the value below which it has come true")


class Risk(Part):
    """Something that may go wrong, and what is done about it."""

    name: Name = Field(description="a short name")
    likelihood: Score = Field(description="1 (unlikely) to 5")
    impact: Score = Field(description="1 (small) to 5")
    owner: Role = Field(description="the role that watches it")
    mitigation: Text = Field(description="what is done about it")
    trigger: RiskTrigger | None = Field(
        default=None, description="the KPI and limit that tell that it has come true"
    )
