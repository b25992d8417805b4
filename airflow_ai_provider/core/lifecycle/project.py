"""The project file: what one AI project is for, who carries it, and what it may use.

The models say the shape; ``parsing.py`` reads YAML into them and names line, field and remedy for
whatever does not fit. A field's description is the remedy when it is missing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,99}$")]
Line = Annotated[str, Field(min_length=1, max_length=500)]
Text = Annotated[str, Field(min_length=1, max_length=5000)]
Score = Annotated[int, Field(ge=1, le=5)]
Share = Annotated[float, Field(gt=0, le=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]

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
Role = Literal[
    "sponsor",
    "point_person",
    "data_scientist",
    "ml_engineer",
    "data_engineer",
    "operations",
    "project_manager",
]


class Part(BaseModel):
    """A part of the project file: no unknown field, no silent conversion, no later change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Kpi(Part):
    """A figure that says whether the project succeeds, with its target."""

    name: Name = Field(description="a short name such as late_minutes_saved")
    kind: Literal["accuracy", "adoption", "business", "cost", "operations", "quality", "risk"] = (
        Field(description="what it measures: accuracy, or what the business gets from it")
    )
    target: Line = Field(description="the value that means success, with its unit and date")
    baseline: Line | None = Field(default=None, description="the value today, if it is known")
    source: Line | None = Field(default=None, description="where the figure comes from")


class Person(Part):
    """Who fills a role: an Airflow user and, when it is known, the share of their time."""

    user: Name = Field(description="the person's user name in Airflow")
    share: Share | None = Field(default=None, description="the share of their working time, 0 to 1")

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"user": value} if isinstance(value, str) else value


class Stakeholder(Part):
    """Somebody who was interviewed, and what they want."""

    who: Line = Field(description="the function that was interviewed")
    goal: Text = Field(description="what they want from this project")


class DataSource(Part):
    """A source of data: where it lies, whose it is, and how it may be used."""

    name: Name = Field(description="a short name; gates and models refer to it")
    own: bool = Field(description="true for the organisation's own data, false for public data")
    structured: bool = Field(
        default=True, description="true for tables, false for text, images or sound"
    )
    owner: Line = Field(description="who answers for this data")
    location: Line | None = Field(
        default=None, description="path or URL; {home} is Airflow's home, {here} this file's folder"
    )
    sample: Line | None = Field(default=None, description="where a sample is to be kept")
    suite: Line | None = Field(
        default=None, description="the expectations that a delivery must meet"
    )
    partitions: Line | None = Field(
        default=None, description="what one delivery holds, such as a month"
    )
    sensitivity: Literal["public", "internal", "confidential", "personal"] = Field(
        description="public, internal, confidential or personal"
    )
    meaning: Text | None = Field(default=None, description="what a row is and where it comes from")


class Tool(Part):
    """A Python distribution that the use cases need."""

    name: Name = Field(description="the distribution's name")
    version: Line | None = Field(default=None, description="the versions that do, such as >=1.5")
    used_for: Line | None = Field(default=None, description="what needs it")


class Technology(Part):
    """What the AI workloads run on today, and what the use cases need."""

    infrastructure: Text | None = Field(default=None, description="what AI workloads run on today")
    tools: tuple[Tool, ...] = Field(default=(), description="the tools that the use cases need")
    gpus: Annotated[int, Field(ge=0)] = Field(
        default=0, description="devices needed at the same time"
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
    pilot: bool = Field(default=False, description="true when it is tried in the pilot phase")
    metric: Name | None = Field(default=None, description="the metric it is judged by first")
    baseline: Line | None = Field(default=None, description="what it has to beat")
    criteria: GateCriteria | None = Field(
        default=None, description="the criteria of its model gates"
    )
    feedback: FeedbackPlan | None = Field(default=None, description="where the truth comes from")
    limits: Text | None = Field(
        default=None, description="where its answers must not be relied on, for the model card"
    )
    ethics: Text | None = Field(
        default=None, description="whom it may harm and what was done about it, for the model card"
    )


class Skills(Part):
    """What the team must know, what it knows, and how the difference is closed."""

    needed: tuple[Line, ...] = Field(default=(), description="skills that the use cases need")
    held: tuple[Line, ...] = Field(default=(), description="skills of the people there")
    training: Text | None = Field(default=None, description="what is trained")
    hiring: Text | None = Field(default=None, description="who is hired, inside and outside")


class Governance(Part):
    """How data is handled today."""

    collection: Text | None = Field(
        default=None, description="how data is collected, distributed and validated"
    )
    protection: Text | None = Field(
        default=None, description="how data is stored, analysed, processed and protected"
    )
    policies: Text | None = Field(default=None, description="which rules data is under")


class Strategy(Part):
    """How the organisation takes the product up."""

    adoption: Text | None = Field(default=None, description="how people come to use it")
    platform: Text | None = Field(default=None, description="what the platform is made of")
    growth: Text | None = Field(default=None, description="launch, product and growth")


class Estimate(Part):
    """A three-point estimate in working days."""

    best: Amount = Field(description="working days when all goes well")
    likely: Amount = Field(description="working days as expected")
    worst: Amount = Field(description="working days when much goes wrong")


class Milestone(Part):
    """A milestone of the project's plan."""

    name: Name = Field(description="a short name")
    phase: Literal["discovery", "pilot", "production", "maintenance"] = Field(
        description="the phase that it belongs to"
    )
    owner: Role = Field(description="the role that answers for it")
    after: tuple[Name, ...] = Field(default=(), description="the milestones that come before it")
    deliverables: tuple[Line, ...] = Field(default=(), description="what it leaves behind")
    estimate: Estimate | None = Field(
        default=None, description="best, likely and worst working days"
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


class Risk(Part):
    """Something that may go wrong, and what is done about it."""

    name: Name = Field(description="a short name")
    likelihood: Score = Field(description="1 (unlikely) to 5")
    impact: Score = Field(description="1 (small) to 5")
    owner: Role = Field(description="the role that watches it")
    mitigation: Text = Field(description="what is done about it")


class RetrainPolicy(Part):
    """When a model in production is trained again; the retrain decision takes it as it is."""

    max_gap: Share = Field(description="largest |observed - predicted| that is left alone")
    max_age_days: Annotated[int, Field(ge=1)] = Field(
        description="days after which the champion's training data counts as old"
    )


class Project(Part):
    """One AI project."""

    name: Name = Field(description="the project's short name; assets and records carry it")
    title: Line | None = Field(default=None, description="the project's name for people")
    owner: Name = Field(description="the Airflow user who submits models for approval")
    business_need: Text = Field(description="the problem of the business, without AI words")
    expected_value: Text = Field(description="what a solution is worth, and how sure that is")
    objectives: tuple[Line, ...] = Field(min_length=1, description="what shall be reached")
    kpis: tuple[Kpi, ...] = Field(
        min_length=2, description="at least two KPIs, one of them not accuracy"
    )
    people: dict[Role, Person] = Field(description="roles and the Airflow users who fill them")
    core_working_group: tuple[Line, ...] = Field(
        default=(), description="who works on it every week"
    )
    stakeholders: tuple[Stakeholder, ...] = Field(default=(), description="who was interviewed")
    applications: tuple[Line, ...] = Field(
        default=(), description="line-of-business applications today"
    )
    data_sources: tuple[DataSource, ...] = Field(min_length=1, description="where data comes from")
    governance: Governance = Field(default=Governance(), description="how data is handled today")
    technology: Technology = Field(default=Technology(), description="tools and devices needed")
    use_cases: tuple[UseCase, ...] = Field(min_length=1, description="what AI is to be used for")
    panels: tuple[Line, ...] = Field(default=(), description="who discussed the use cases")
    skills: Skills = Field(default=Skills(), description="skills needed and held")
    strategy: Strategy = Field(default=Strategy(), description="adoption, platform and growth")
    milestones: tuple[Milestone, ...] = Field(default=(), description="the plan")
    budget: dict[Literal["discovery", "pilot", "production", "maintenance"], Budget] = Field(
        default_factory=dict, description="resources per phase"
    )
    risks: tuple[Risk, ...] = Field(default=(), description="what may go wrong")
    retrain: RetrainPolicy | None = Field(default=None, description="when a model is trained again")
    live_model_limit: Annotated[int, Field(ge=1)] = Field(
        default=1, description="models in production until their feedback keeps up"
    )

    approvers: tuple[Role, ...] = Field(
        default=("sponsor",), min_length=1, description="the roles that may approve a release"
    )
    approvals_needed: Annotated[int, Field(ge=1)] = Field(
        default=1, description="how many different people must approve a release"
    )

    @property
    def approving_users(self) -> tuple[str, ...]:
        """The Airflow users who may approve a release; never who submits it."""
        users = (self.person(role) for role in self.approvers)
        return tuple(dict.fromkeys(user for user in users if user and user != self.owner))

    def person(self, role: str) -> str | None:
        """Return the Airflow user of ``role``; None when nobody fills it."""
        found = self.people.get(role)  # type: ignore[call-overload]
        return found.user if found else None

    def source(self, name: str) -> DataSource:
        """Return the data source ``name``."""
        return next(source for source in self.data_sources if source.name == name)

    def use_case(self, name: str) -> UseCase:
        """Return the use case ``name``."""
        return next(use_case for use_case in self.use_cases if use_case.name == name)

    @property
    def prioritised(self) -> tuple[UseCase, ...]:
        """The use cases, the most worth trying first: by value times feasibility, value, name."""
        return tuple(
            sorted(self.use_cases, key=lambda u: (-u.value * u.feasibility, -u.value, u.name))
        )

    @property
    def pilots(self) -> tuple[UseCase, ...]:
        """The use cases that are tried in the pilot phase, in order of priority."""
        return tuple(use_case for use_case in self.prioritised if use_case.pilot)
