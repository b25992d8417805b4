"""The traps that kill AI projects, each as something measured.

Every function takes the project and, where the file cannot tell, what was found about it; it
returns one criterion: the limit, what was observed, the verdict and one sentence that says what to
do. What could not be measured fails.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_ai_provider.core.gate import Criterion, Verdict
from airflow_ai_provider.core.lifecycle.allocation import Overload, overloads
from airflow_ai_provider.core.lifecycle.found import Findings, PilotResult
from airflow_ai_provider.core.lifecycle.governing import COMPLIANCE_TOPICS
from airflow_ai_provider.core.lifecycle.milestones import MILESTONES
from airflow_ai_provider.core.lifecycle.project import Project

__all__ = ["Findings", "PilotResult"]

MIN_WORDS = 12
ENGINEERING = ("data_engineer", "ml_engineer")
BUDGETED = ("pilot", "production")


def business_need(project: Project) -> Criterion:
    """The business need is stated: enough words to be one, and a value expected from it."""
    words = min(_words(project.business_need), _words(project.expected_value))
    return criterion(
        "business_need",
        limit=f"at least {MIN_WORDS} words each for need and expected value",
        observed=words,
        good=words >= MIN_WORDS,
        yes="The business need and the value expected are stated.",
        no="Say in business_need and expected_value what is wrong today and what a solution is "
        "worth, before anything is built.",
    )


def kpis_beyond_accuracy(project: Project) -> Criterion:
    """At least one KPI says something that accuracy does not."""
    beyond = [kpi.name for kpi in project.kpis if kpi.kind != "accuracy"]
    return criterion(
        "kpis_beyond_accuracy",
        limit="at least 1 KPI that is not accuracy",
        observed=len(beyond),
        good=bool(beyond),
        yes=f"Success is also measured by {', '.join(beyond)}.",
        no="Add a KPI of adoption, cost, operations, quality or risk: an accurate model that "
        "nobody uses is no success.",
    )


def minimum_resources(project: Project) -> Criterion:
    """The least that pilot and production need is known."""
    unknown = [
        phase
        for phase in BUDGETED
        if phase not in project.budget or project.budget[phase].people_days <= 0
    ]
    return criterion(
        "minimum_resources",
        limit="people and device hours known for pilot and production",
        observed=[phase for phase in BUDGETED if phase not in unknown],
        good=not unknown,
        yes="The least that each phase needs is known.",
        no=f"Give people_days and gpu_hours under budget.{' and budget.'.join(unknown)}.",
    )


def right_people_first(project: Project) -> Criterion:
    """Engineering is staffed before specialists, and nobody is planned for more than all day."""
    unfilled = [role for role in ENGINEERING if project.person(role) is None]
    unknown = [role for role, person in project.people.items() if person.share is None]
    shares: dict[str, float] = {}
    for person in project.people.values():
        shares[person.user] = shares.get(person.user, 0.0) + (person.share or 0.0)
    over = [role for role, person in project.people.items() if shares[person.user] > 1.0 + 1e-9]
    crowded = [] if unknown else overloads(project)
    if unfilled:
        remedy = f"Name people for {' and '.join(unfilled)} before any specialist."
    elif unknown:
        remedy = f"Give the share of working time of {', '.join(unknown)} under people."
    elif over:
        remedy = f"Take work from who fills {', '.join(over)}: the shares exceed all day."
    else:
        remedy = _crowded(crowded[0]) if crowded else ""
    return criterion(
        "right_people_first",
        limit="data and ML engineering staffed; nobody planned for more time than they have",
        observed={
            "unfilled": unfilled,
            "unknown": unknown,
            "largest_share": round(max(shares.values(), default=0.0), 3),
            "over_allocated": [
                {"milestones": list(o.milestones), "planned": o.planned, "available": o.available}
                for o in crowded
            ],
        },
        good=not (unfilled or unknown or over or crowded),
        yes="Engineering is staffed and nobody is planned for more time than they have.",
        no=remedy,
    )


def _crowded(found: Overload) -> str:
    return (
        f"Move {' or '.join(found.milestones)} apart, or give people.{found.roles[0]} to somebody "
        f"else: together they take {found.planned:.0%} of a day of which {found.available:.0%} is "
        "there."
    )


def pilots(project: Project) -> Criterion:
    """At least two pilots are chosen."""
    chosen = [use_case.name for use_case in project.pilots]
    return criterion(
        "pilots",
        limit="at least 2 pilots",
        observed=len(chosen),
        good=len(chosen) >= 2,
        yes=f"Pilots are {', '.join(chosen)}.",
        no="Mark a second use case with pilot: true, so that one failure does not end everything.",
    )


def milestones(_project: Project, findings: Findings) -> Criterion:
    """Every milestone of discovery left its deliverables."""
    done = findings.milestones_done
    missing = [m.name for m in MILESTONES if m.name not in (done or ())]
    return criterion(
        "milestones",
        limit=f"{len(MILESTONES)} of {len(MILESTONES)} milestones done",
        observed=None if done is None else len(MILESTONES) - len(missing),
        good=not missing,
        yes="Every milestone left its deliverables.",
        no=f"Deliver what is missing of {', '.join(missing)}.",
    )


def admitted_pilots(by_pilot: Mapping[str, Sequence[Criterion]], good: Sequence[str]) -> Criterion:
    """At least one pilot may go on."""
    refused = {
        name: [c.name for c in found if not c.verdict.lets_pass]
        for name, found in by_pilot.items()
        if name not in good
    }
    reasons = "; ".join(f"{name} fails {', '.join(why)}" for name, why in refused.items())
    return criterion(
        "admitted_pilots",
        limit="at least 1 pilot that meets every criterion",
        observed={"admitted": list(good), "refused": refused},
        good=bool(good),
        yes=f"{', '.join(good)} may go on{f'; {reasons}' if reasons else ''}.",
        no=f"No pilot may go on: {reasons or 'there is none'}.",
    )


def approval(project: Project, findings: Findings) -> Criterion:
    """The sponsor, who is not the submitter, approved the pilots' result."""
    sponsor = project.person("sponsor")
    who = findings.approved_by
    return criterion(
        "approval",
        limit="approved by the sponsor, who is not the submitter",
        observed=None if who is None else "the sponsor" if who == sponsor else "somebody else",
        good=who is not None and who == sponsor and who != project.owner,
        yes="The sponsor approved the result.",
        no="Let the sponsor, who must not be the project's owner, approve the pilots' result, "
        "and hand over that approval.",
    )


def operations_owner(project: Project) -> Criterion:
    """Somebody will run it."""
    who = project.person("operations")
    return criterion(
        "operations_owner",
        limit="1 person under people.operations",
        observed=0 if who is None else 1,
        good=who is not None,
        yes="Somebody answers for operations.",
        no="Name under people.operations who runs the model once it is live.",
    )


def compliance(project: Project) -> Criterion:
    """Every question of compliance and ethics is answered, with an owner who is there."""
    answers = project.compliance
    open_ = [topic for topic in COMPLIANCE_TOPICS if topic not in answers]
    orphaned = [t for t, answer in answers.items() if project.person(answer.owner) is None]
    return criterion(
        "compliance",
        limit=f"{len(COMPLIANCE_TOPICS)} topics answered, each with an owner and a date",
        observed={"answered": len(answers), "open": open_, "without_owner": orphaned},
        good=not (open_ or orphaned),
        yes="Compliance and ethics are answered, each with an owner and a date.",
        no=f"Answer {', '.join(open_)} under compliance, each with an owner and a date."
        if open_
        else f"Name under people who answers for {', '.join(orphaned)}.",
    )


def _words(text: str) -> int:
    return len(re.findall(r"\w+", text))


def criterion(name: str, *, limit: Any, observed: Any, good: bool, yes: str, no: str) -> Criterion:
    """Return a criterion that passes when ``good``, with the sentence for what it is."""
    return Criterion(
        name=name,
        limit=limit,
        observed=observed,
        verdict=Verdict.PASS if good else Verdict.FAIL,
        sentence=yes if good else no,
    )
