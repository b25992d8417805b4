"""The gates between a project's phases: which criteria must be met to leave each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from airflow_ai_provider.core.gate import Criterion, Verdict, worst
from airflow_ai_provider.core.lifecycle import criteria as traps
from airflow_ai_provider.core.lifecycle import on_found
from airflow_ai_provider.core.lifecycle.found import Findings
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


def decide(
    project: Project,
    phase: str,
    findings: Findings,
    overrides: Mapping[str, Collection[str]] | None = None,
) -> PhaseDecision:
    """Return whether ``project`` may leave ``phase``.

    ``phase`` is discovery, pilot or production. ``overrides`` are the criteria that were overridden
    with a reason: under ``""`` those of the phase, under a pilot's name its own.
    """
    over = overrides or {}
    if phase == "discovery":
        criteria = (*plan_criteria(project), traps.milestones(project, findings))
        return _all_or_none(criteria, [use_case.name for use_case in project.pilots], over)
    if phase == "pilot":
        return _decide_pilot(project, findings, over)
    criteria = (
        traps.operations_owner(project),
        on_found.feedback_loop(findings),
        on_found.live_model_limit(project, findings),
    )
    return _all_or_none(criteria, findings.live_models or (), over)


def plan_criteria(project: Project) -> tuple[Criterion, ...]:
    """Return the criteria that the project file alone decides."""
    return (
        traps.business_need(project),
        traps.kpis_beyond_accuracy(project),
        traps.minimum_resources(project),
        traps.right_people_first(project),
        traps.pilots(project),
    )


def _all_or_none(
    criteria: tuple[Criterion, ...], names: Sequence[str], over: Mapping[str, Collection[str]]
) -> PhaseDecision:
    criteria = _overridden(criteria, over.get("", ()))
    verdict = _verdict(criteria)
    return PhaseDecision(
        verdict=verdict, criteria=criteria, admitted=tuple(names) if verdict.lets_pass else ()
    )


def _decide_pilot(
    project: Project, findings: Findings, over: Mapping[str, Collection[str]]
) -> PhaseDecision:
    by_pilot = {
        use_case.name: _overridden(
            (
                on_found.model_gate(use_case.name, findings),
                on_found.own_data_results(project, use_case.name, findings),
                on_found.model_logistics(use_case.name, findings),
            ),
            over.get(use_case.name, ()),
        )
        for use_case in project.pilots
    }
    good = tuple(
        name for name, found in by_pilot.items() if all(c.verdict.lets_pass for c in found)
    )
    criteria: tuple[Criterion, ...] = (
        traps.admitted_pilots(by_pilot, good),
        traps.approval(project, findings),
        traps.operations_owner(project),
        traps.compliance(project),
        on_found.models_not_in_git(findings),
        on_found.product_approach(findings),
    )
    criteria = _overridden(criteria, over.get("", ()))
    verdict = _verdict(criteria)
    if verdict is Verdict.PASS and any(
        c.verdict is Verdict.OVERRIDE for name in good for c in by_pilot[name]
    ):
        verdict = Verdict.OVERRIDE
    return PhaseDecision(
        verdict=verdict,
        criteria=criteria,
        admitted=good if verdict.lets_pass else (),
        by_pilot=by_pilot,
    )


def _overridden(criteria: tuple[Criterion, ...], names: Collection[str]) -> tuple[Criterion, ...]:
    """Return ``criteria`` with those in ``names`` that refuse marked as overridden."""
    return tuple(
        replace(c, verdict=Verdict.OVERRIDE) if c.name in names and not c.verdict.lets_pass else c
        for c in criteria
    )


def _verdict(criteria: Sequence[Criterion]) -> Verdict:
    verdict = worst(c.verdict for c in criteria)
    if verdict.lets_pass and any(c.verdict is Verdict.OVERRIDE for c in criteria):
        return Verdict.OVERRIDE
    return verdict
