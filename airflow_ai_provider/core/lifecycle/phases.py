"""The gates between a project's phases: which criteria must be met to leave each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airflow_ai_provider.core.gate import Criterion, Verdict, worst
from airflow_ai_provider.core.lifecycle import criteria as traps
from airflow_ai_provider.core.lifecycle.criteria import Findings
from airflow_ai_provider.core.lifecycle.project import Project


@dataclass(frozen=True, kw_only=True)
class PhaseDecision:
    """What a phase gate decides: verdict, criteria, and the use cases that go on."""

    verdict: Verdict
    criteria: tuple[Criterion, ...]
    admitted: tuple[str, ...] = ()
    by_pilot: Mapping[str, tuple[Criterion, ...]] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[Criterion, ...]:
        """The criteria that refuse."""
        return tuple(c for c in self.criteria if not c.verdict.lets_pass)


def decide(project: Project, phase: str, findings: Findings) -> PhaseDecision:
    """Return whether ``project`` may leave ``phase``.

    ``phase`` is discovery, pilot or production.
    """
    if phase == "discovery":
        criteria = (*plan_criteria(project), traps.milestones(project, findings))
        return _all_or_none(criteria, [use_case.name for use_case in project.pilots])
    if phase == "pilot":
        return _decide_pilot(project, findings)
    criteria = (
        traps.operations_owner(project),
        traps.feedback_loop(project, findings),
        traps.live_model_limit(project, findings),
    )
    return _all_or_none(criteria, findings.live_models or ())


def plan_criteria(project: Project) -> tuple[Criterion, ...]:
    """Return the criteria that the project file alone decides."""
    return (
        traps.business_need(project),
        traps.kpis_beyond_accuracy(project),
        traps.minimum_resources(project),
        traps.right_people_first(project),
        traps.pilots(project),
    )


def _all_or_none(criteria: tuple[Criterion, ...], names: Sequence[str]) -> PhaseDecision:
    verdict = worst(c.verdict for c in criteria)
    return PhaseDecision(
        verdict=verdict, criteria=criteria, admitted=tuple(names) if verdict.lets_pass else ()
    )


def _decide_pilot(project: Project, findings: Findings) -> PhaseDecision:
    by_pilot = {
        use_case.name: (
            traps.model_gate(use_case.name, findings),
            traps.own_data_results(project, use_case.name, findings),
        )
        for use_case in project.pilots
    }
    good = tuple(
        name for name, found in by_pilot.items() if all(c.verdict.lets_pass for c in found)
    )
    criteria = (
        traps.admitted_pilots(by_pilot, good),
        traps.approval(project, findings),
        traps.operations_owner(project),
        traps.models_not_in_git(findings),
    )
    verdict = worst(c.verdict for c in criteria)
    return PhaseDecision(
        verdict=verdict,
        criteria=criteria,
        admitted=good if verdict.lets_pass else (),
        by_pilot=by_pilot,
    )
