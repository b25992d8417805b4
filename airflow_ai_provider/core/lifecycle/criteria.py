"""The traps that kill AI projects, each as something measured.

Every function takes the project and, where the file cannot tell, what was found about it; it
returns one criterion: the limit, what was observed, the verdict and one sentence that says what to
do. What could not be measured fails.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_ai_provider.core.gate import Criterion, Verdict
from airflow_ai_provider.core.lifecycle.milestones import MILESTONES
from airflow_ai_provider.core.lifecycle.project import Project

MIN_WORDS = 12
ENGINEERING = ("data_engineer", "ml_engineer")
BUDGETED = ("pilot", "production")


@dataclass(frozen=True, kw_only=True)
class PilotResult:
    """What is known of one pilot: its gate in the ledger, and the data that it was judged on."""

    model_name: str
    gate: str | None = None
    verdict: str | None = None
    version: str | None = None
    own_data: bool | None = None
    data: str | None = None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found about a project outside its file; None stands for not looked at."""

    milestones_done: frozenset[str] | None = None
    models_in_repository: Sequence[str] | None = None
    pilots: Mapping[str, PilotResult] = field(default_factory=dict)
    approved_by: str | None = None
    feedback: Mapping[str, int] | None = None
    live_models: Sequence[str] | None = None


def business_need(project: Project) -> Criterion:
    """The business need is stated: enough words to be one, and a value expected from it."""
    words = min(_words(project.business_need), _words(project.expected_value))
    return _criterion(
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
    return _criterion(
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
    return _criterion(
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
    if unfilled:
        remedy = f"Name people for {' and '.join(unfilled)} before any specialist."
    elif unknown:
        remedy = f"Give the share of working time of {', '.join(unknown)} under people."
    else:
        remedy = f"Take work from who fills {', '.join(over)}: the shares exceed all day."
    return _criterion(
        "right_people_first",
        limit="data and ML engineering staffed; at most 100 % of anybody's time",
        observed={
            "unfilled": unfilled,
            "unknown": unknown,
            "largest_share": round(max(shares.values(), default=0.0), 3),
        },
        good=not (unfilled or unknown or over),
        yes="Engineering is staffed and nobody is planned for more than all day.",
        no=remedy,
    )


def pilots(project: Project) -> Criterion:
    """At least two pilots are chosen."""
    chosen = [use_case.name for use_case in project.pilots]
    return _criterion(
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
    return _criterion(
        "milestones",
        limit=f"{len(MILESTONES)} of {len(MILESTONES)} milestones done",
        observed=None if done is None else len(MILESTONES) - len(missing),
        good=not missing,
        yes="Every milestone left its deliverables.",
        no=f"Deliver what is missing of {', '.join(missing)}.",
    )


def model_gate(model_name: str, findings: Findings) -> Criterion:
    """A candidate of the pilot passed its model gate, says the ledger."""
    result = findings.pilots.get(model_name)
    verdict = result.verdict if result else None
    return _criterion(
        "model_gate",
        limit="a model gate that passed, in the ledger",
        observed=verdict,
        good=verdict in {Verdict.PASS.value, Verdict.WARN.value, Verdict.OVERRIDE.value},
        yes=f"A candidate of {model_name} met its criteria.",
        no=f"Let a candidate of {model_name} pass its model gate, and hand over its result.",
    )


def own_data_results(project: Project, model_name: str, findings: Findings) -> Criterion:
    """The pilot's result was reached on data of the organisation's own."""
    source = project.source(project.use_case(model_name).data_source)
    result = findings.pilots.get(model_name)
    measured = result.own_data if result else None
    return _criterion(
        "own_data_results",
        limit="judged on data of our own",
        observed={"source": source.name, "own": source.own, "judged_on_own": measured},
        good=source.own and measured is True,
        yes=f"{model_name} was judged on data of our own.",
        no=f"Judge {model_name} on data of our own before production: a result on "
        f"{'public' if not source.own else 'unknown'} data promises nothing here.",
    )


def admitted_pilots(by_pilot: Mapping[str, Sequence[Criterion]], good: Sequence[str]) -> Criterion:
    """At least one pilot may go on."""
    refused = {
        name: [c.name for c in found if not c.verdict.lets_pass]
        for name, found in by_pilot.items()
        if name not in good
    }
    reasons = "; ".join(f"{name} fails {', '.join(why)}" for name, why in refused.items())
    return _criterion(
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
    return _criterion(
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
    return _criterion(
        "operations_owner",
        limit="1 person under people.operations",
        observed=0 if who is None else 1,
        good=who is not None,
        yes="Somebody answers for operations.",
        no="Name under people.operations who runs the model once it is live.",
    )


def models_not_in_git(findings: Findings) -> Criterion:
    """Models lie in the registry and not beside the code."""
    found = findings.models_in_repository
    count = None if found is None else len(found)
    listed = ", ".join(list(found or ())[:5])
    return _criterion(
        "models_not_in_git",
        limit="no model files beside the code",
        observed=count,
        good=count == 0,
        yes="No model lies beside the code.",
        no=f"Move {listed} into the model registry and out of the repository."
        if found
        else "Look through the project's folder for model files.",
    )


def feedback_loop(project: Project, findings: Findings) -> Criterion:
    """What really happened comes back for every live model."""
    live = findings.live_models
    feedback = findings.feedback
    silent = [name for name in live or () if not (feedback or {}).get(name)]
    observed = None if feedback is None else {name: feedback.get(name, 0) for name in live or ()}
    return _criterion(
        "feedback_loop",
        limit="feedback stored for every live model",
        observed=observed,
        good=bool(live) and feedback is not None and not silent,
        yes="Feedback comes in for every live model.",
        no=f"Take in feedback on {', '.join(silent) or 'each model'} before it counts as live.",
    )


def live_model_limit(project: Project, findings: Findings) -> Criterion:
    """No more models are live than their feedback can be answered for."""
    live = findings.live_models
    return _criterion(
        "live_model_limit",
        limit=project.live_model_limit,
        observed=None if live is None else len(live),
        good=live is not None and len(live) <= project.live_model_limit,
        yes="No more models are live than planned.",
        no=f"Retire one of {', '.join(live)} before another goes live."
        if live
        else "Find out which models are live.",
    )


def _words(text: str) -> int:
    return len(re.findall(r"\w+", text))


def _criterion(name: str, *, limit: Any, observed: Any, good: bool, yes: str, no: str) -> Criterion:
    return Criterion(
        name=name,
        limit=limit,
        observed=observed,
        verdict=Verdict.PASS if good else Verdict.FAIL,
        sentence=yes if good else no,
    )
