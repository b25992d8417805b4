"""The project file: what one AI project is for, who carries it, and what it may use.

The models say the shape; ``parsing.py`` reads YAML into them and names line, field and remedy for
whatever does not fit. A field's description is the remedy when it is missing.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import Field

from airflow_ai_provider.core.lifecycle.governing import (
    COMPLIANCE_TOPICS,
    ComplianceAnswer,
    ComplianceTopic,
    Iteration,
    Retrospective,
)
from airflow_ai_provider.core.lifecycle.kpis import Kpi, KpiMeasure
from airflow_ai_provider.core.lifecycle.plan_parts import (
    PHASES,
    ROLES,
    Budget,
    Estimate,
    Line,
    Milestone,
    Name,
    Part,
    Person,
    Phase,
    Risk,
    Role,
    Share,
    Text,
    Who,
)
from airflow_ai_provider.core.lifecycle.use_cases import RetrainPolicy, UseCase

__all__ = [
    "COMPLIANCE_TOPICS",
    "PHASES",
    "ROLES",
    "Budget",
    "ComplianceAnswer",
    "DataSource",
    "Estimate",
    "Kpi",
    "KpiMeasure",
    "Milestone",
    "Part",
    "Person",
    "Project",
    "Risk",
    "Role",
    "UseCase",
]


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
    conn_id: Name | None = Field(
        default=None, description="the Airflow connection of the database that holds the table"
    )
    table: Line | None = Field(default=None, description="the table, as schema.table or table")
    sample: Line | None = Field(default=None, description="where a sample is to be kept")
    suite: Line | None = Field(
        default=None, description="the expectations that a delivery must meet"
    )
    sample_parameters: dict[str, str | int | float] = Field(
        default_factory=dict,
        description="values of the suite's parameters that fit the sample, to try the suite on it",
    )
    partitions: Line | None = Field(
        default=None, description="what one delivery holds, such as a month"
    )
    access: Line | None = Field(
        default=None, description="who may read it, and how that is granted"
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

    process: Text | None = Field(
        default=None, description="how work is done today, and where a model would change it"
    )
    infrastructure: Text | None = Field(default=None, description="what AI workloads run on today")
    tools: tuple[Tool, ...] = Field(default=(), description="the tools that the use cases need")
    gpus: Annotated[int, Field(ge=0)] = Field(
        default=0, description="devices needed at the same time"
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


class Project(Part):
    """One AI project."""

    name: Name = Field(description="the project's short name; assets and records carry it")
    title: Line | None = Field(default=None, description="the project's name for people")
    start: datetime.date | None = Field(
        default=None, description="the day on which the plan begins, such as 2026-03-02"
    )
    owner: Name = Field(description="the Airflow user who submits models for approval")
    visible_to: tuple[Who, ...] | None = Field(
        default=None,
        min_length=1,
        description="who may see it: roles of the project such as sponsor, Airflow users such as "
        "user:anna, Airflow's roles such as role:Op; everybody, when left out",
    )
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
    iterations: tuple[Iteration, ...] = Field(default=(), description="the sprints")
    retrospectives: dict[Phase, Retrospective] = Field(
        default_factory=dict, description="what was learnt, by phase"
    )
    budget: dict[Phase, Budget] = Field(default_factory=dict, description="resources per phase")
    risks: tuple[Risk, ...] = Field(default=(), description="what may go wrong")
    compliance: dict[ComplianceTopic, ComplianceAnswer] = Field(
        default_factory=dict, description="answers on compliance and ethics, by topic"
    )
    retrain: RetrainPolicy | None = Field(default=None, description="when a model is trained again")
    live_model_limit: Annotated[int, Field(ge=1)] = Field(
        default=1, description="models in production until their feedback keeps up"
    )
    feedback_keeps_up: Share = Field(
        default=0.8,
        description="the share of predictions with feedback from which more models may go live",
    )
    override_role: Role = Field(
        default="sponsor", description="the role that may let a phase pass against its gate"
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
