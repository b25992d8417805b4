"""The six milestones of discovery, and what each must leave behind.

What a machine can find out is measured; people answer the rest in a form, by role. A milestone is
done when its deliverables are there, not when a task ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from airflow_ai_provider.core.errors import LifecycleError
from airflow_ai_provider.core.lifecycle.project import Project

MIN_ANSWER = 2  # characters; shorter says nothing
MAX_ANSWER = 5000


class DeliverableKind(str, Enum):
    """How a deliverable comes about."""

    MEASURED = "m"
    ASKED = "p"


@dataclass(frozen=True, kw_only=True)
class Deliverable:
    """Something a milestone leaves behind; measured, asked of people, or both.

    ``proposal`` reads the project file's own answer to ``question``, or None.
    """

    name: str
    title: str
    question: str = ""
    measured: bool = False
    proposal: Callable[[Project], str | None] | None = None

    @property
    def asked(self) -> bool:
        """Whether people answer for it in a form."""
        return self.proposal is not None

    def propose(self, project: Project) -> str | None:
        """Return the project file's own answer, cut to what a form takes; None without one."""
        text = self.proposal(project) if self.proposal else None
        return text.strip()[:MAX_ANSWER] if text and len(text.strip()) >= MIN_ANSWER else None


@dataclass(frozen=True, kw_only=True)
class Milestone:
    """One milestone of discovery: who answers, after what, and what it leaves behind."""

    name: str
    title: str
    role: str
    after: tuple[str, ...]
    deliverables: tuple[Deliverable, ...]
    phase: str = "discovery"

    @property
    def asked(self) -> tuple[Deliverable, ...]:
        """The deliverables of the form."""
        return tuple(d for d in self.deliverables if d.asked)

    @property
    def measured(self) -> tuple[Deliverable, ...]:
        """The deliverables that a machine finds out."""
        return tuple(d for d in self.deliverables if d.measured)


def milestone(name: str) -> Milestone:
    """Return the milestone ``name``, or the retrospective, such as ``pilot_retrospective``.

    :raises LifecycleError: there is none.
    """
    from airflow_ai_provider.core.lifecycle.retrospectives import RETROSPECTIVES

    for found in (*MILESTONES, *RETROSPECTIVES):
        if found.name == name:
            return found
    known = ", ".join(m.name for m in (*MILESTONES, *RETROSPECTIVES))
    raise LifecycleError(f"There is no milestone {name}.", remedy=f"Name one of {known}.")


def _lines(items: Iterable[str]) -> str | None:
    return "\n".join(f"- {item}" for item in items) or None


def _sources(project: Project) -> str | None:
    return _lines(
        f"{s.name}: {'tables' if s.structured else 'unstructured'}, "
        f"{'own' if s.own else 'public'}, {s.sensitivity}, owner {s.owner}"
        for s in project.data_sources
    )


def _meanings(project: Project) -> str | None:
    return _lines(f"{s.name}: {s.meaning}" for s in project.data_sources if s.meaning)


def _pilots(project: Project) -> str | None:
    return _lines(
        f"{u.name}: {u.title} (value {u.value}, feasibility {u.feasibility})"
        for u in project.pilots
    )


MILESTONES: tuple[Milestone, ...] = (
    Milestone(
        name="kick_off",
        title="Kick-off",
        role="sponsor",
        after=(),
        deliverables=(
            Deliverable(
                name="stakeholder_goals",
                title="Goals of the stakeholders",
                question="Who was interviewed, and what do they want from this?",
                proposal=lambda p: _lines(f"{s.who}: {s.goal}" for s in p.stakeholders),
            ),
            Deliverable(
                name="executive_sponsor",
                title="Executive sponsor",
                question="Who answers for the project towards the management?",
                proposal=lambda p: p.person("sponsor"),
            ),
            Deliverable(
                name="point_person",
                title="Point person",
                question="Whom does everybody ask first?",
                proposal=lambda p: p.person("point_person"),
            ),
            Deliverable(
                name="core_working_group",
                title="Core working group",
                question="Who works on it every week?",
                proposal=lambda p: _lines(p.core_working_group),
            ),
            Deliverable(
                name="business_applications",
                title="Line-of-business applications",
                question="Which applications does the business run on today?",
                proposal=lambda p: _lines(p.applications),
            ),
            Deliverable(
                name="vision_and_goals",
                title="AI vision and business value",
                question="What shall be reached, and what is it worth to the business?",
                proposal=lambda p: f"{p.expected_value.strip()}\n{_lines(p.objectives)}",
            ),
        ),
    ),
    Milestone(
        name="data_landscape",
        title="Data landscape",
        role="data_engineer",
        after=("kick_off",),
        deliverables=(
            Deliverable(
                name="sources_and_formats",
                title="Sources and formats",
                question="Is this list of sources complete, structured or not?",
                measured=True,
                proposal=_sources,
            ),
            Deliverable(
                name="availability_and_quality", title="Availability and quality", measured=True
            ),
            Deliverable(
                name="collection_and_validation",
                title="Collection, distribution and validation",
                question="How is data collected, distributed and validated today?",
                proposal=lambda p: p.governance.collection,
            ),
            Deliverable(
                name="types_and_structure",
                title="Types, meaning, location, origin, structure",
                question="What does a row mean, and where does it come from?",
                measured=True,
                proposal=_meanings,
            ),
            Deliverable(
                name="storage_and_protection",
                title="Storage, analysis, processing, protection",
                question="How is data stored, analysed, processed and protected?",
                proposal=lambda p: p.governance.protection,
            ),
            Deliverable(
                name="governance_policies",
                title="Governance policies",
                question="Which rules is the data under?",
                proposal=lambda p: p.governance.policies,
            ),
            Deliverable(
                name="curated_data_sets", title="Curated data sets, with a sample", measured=True
            ),
        ),
    ),
    Milestone(
        name="process_and_technology",
        title="Process and technology",
        role="ml_engineer",
        after=("kick_off",),
        deliverables=(
            Deliverable(
                name="ai_infrastructure",
                title="Infrastructure for AI workloads",
                question="What do AI workloads run on today?",
                measured=True,
                proposal=lambda p: p.technology.infrastructure,
            ),
            Deliverable(
                name="gap_analysis", title="Gap between tools there and tools needed", measured=True
            ),
        ),
    ),
    Milestone(
        name="skills_landscape",
        title="Skills landscape",
        role="project_manager",
        after=("kick_off",),
        deliverables=(
            Deliverable(
                name="skills_held",
                title="Skills of the people there",
                question="What can the team do today?",
                proposal=lambda p: _lines(p.skills.held),
            ),
            Deliverable(
                name="training_needs",
                title="Training needs",
                question="Who learns what, and by when?",
                proposal=lambda p: p.skills.training,
            ),
            Deliverable(
                name="hiring_needs",
                title="Hiring needs",
                question="Who is hired, inside and outside?",
                proposal=lambda p: p.skills.hiring,
            ),
        ),
    ),
    Milestone(
        name="business_use_cases",
        title="Business use cases",
        role="sponsor",
        after=("data_landscape", "process_and_technology", "skills_landscape"),
        deliverables=(
            Deliverable(name="priorities", title="Prioritised use cases", measured=True),
            Deliverable(
                name="pilots",
                title="Pilots",
                question="Which two or more use cases are tried side by side?",
                proposal=_pilots,
            ),
            Deliverable(
                name="panels",
                title="Panels",
                question="Who from business, engineering and ecosystem discussed them?",
                proposal=lambda p: _lines(p.panels),
            ),
            Deliverable(
                name="success_kpis",
                title="KPIs of success",
                question="Which figures will say that it was a success?",
                proposal=lambda p: _lines(f"{k.name} ({k.kind}): {k.target}" for k in p.kpis),
            ),
        ),
    ),
    Milestone(
        name="ai_strategy",
        title="AI strategy",
        role="sponsor",
        after=("business_use_cases",),
        deliverables=(
            Deliverable(
                name="adoption_strategy",
                title="Adoption strategy",
                question="How do people come to use it?",
                proposal=lambda p: p.strategy.adoption,
            ),
            Deliverable(
                name="platform_architecture",
                title="Elements and architecture of the platform",
                question="What is the platform made of?",
                measured=True,
                proposal=lambda p: p.strategy.platform,
            ),
            Deliverable(
                name="growth_strategy",
                title="Launch, product and growth",
                question="How is it launched, and what comes next?",
                proposal=lambda p: p.strategy.growth,
            ),
        ),
    ),
)
